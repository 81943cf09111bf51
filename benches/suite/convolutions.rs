//! Every distinct convolution of the networks, and its gradients by input and weight, each alone.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::error::Error;
use tilegrad::gpu::Device;
use tilegrad::graph::{Grad, Misfit, Node, Operation, Purpose, Role, Spec, Stage, Tape, Tensor, TensorId};
use tilegrad::kernel::{Candidate, Caps, Choice, Choices, Tensors};
use tilegrad::plan::candidates;
use tilegrad::twin::{DynTwin, Inputs, Outputs};

use crate::Bench;
use crate::networks::Network;
use crate::report::{ms, percent, rate};
use crate::timing::{Job, STEP};

/// What is computed of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    GradInput,
    GradWeight,
}

impl Direction {
    pub const ALL: [Direction; 3] = [Direction::Forward, Direction::GradInput, Direction::GradWeight];

    pub fn name(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::GradInput => "grad input",
            Direction::GradWeight => "grad weight",
        }
    }
}

/// A convolution out of a network.
pub struct Convolution {
    op: Arc<dyn Operation>,
    inputs: Vec<Tensor>,
    /// Whether its input is the images, by which no network asks for a gradient.
    first: bool,
    /// Its shapes in short.
    pub label: String,
    pub multiply_adds: u64,
}

impl Convolution {
    /// The convolutions of a network that `seen` does not hold yet, in order; a bias makes no difference.
    pub fn distinct(network: Network, batch: usize, width: usize, seen: &mut HashSet<String>) -> Result<Vec<Self>> {
        let tape = network.training(batch, width)?.tape;
        let forward = |node: &&Node| node.stage == Stage::Forward && node.op.name() == "conv2d";
        let mut found = Vec::new();
        for node in tape.nodes().iter().filter(forward) {
            let inputs: Vec<Tensor> = node.inputs.iter().map(|&id| tape.tensor(id).clone()).collect();
            let (input, weight) = (&inputs[0].shape, &inputs[1].shape);
            if !seen.insert(format!("{:?} {input} {weight}", node.op)) {
                continue;
            }
            let operands: Vec<&Tensor> = inputs.iter().collect();
            found.push(Convolution {
                op: Arc::clone(&node.op),
                first: inputs[0].role == Role::Input,
                label: label(input.dims(), weight.dims(), tape.shape(node.outputs[0]).dims()),
                multiply_adds: node.op.multiply_adds(&operands),
                inputs,
            });
        }
        Ok(found)
    }

    /// What can compute it on a device.
    fn candidates(&self, direction: Direction, device: &Device) -> Result<Vec<Choice>> {
        let (tape, result) = self.tape(direction)?;
        let node = tape.nodes().iter().find(|node| node.outputs.contains(&result));
        Ok(node.map(|node| candidates(&tape, node, device.caps())).unwrap_or_default())
    }

    /// A tape that computes only this; the tensor is the result.
    pub fn tape(&self, direction: Direction) -> Result<(Tape, TensorId)> {
        let mut tape = Tape::new(Purpose::Train);
        let mut inputs = Vec::new();
        for (name, tensor) in ["input", "weight", "bias"].into_iter().zip(&self.inputs) {
            inputs.push(tape.input(name, Spec::like(tensor))?);
        }
        let output = tape.append("conv", Same(Arc::clone(&self.op)), &inputs, &[])?[0];
        let result = match direction {
            Direction::Forward => output,
            _ => {
                let seed = tape.input("grad_output", Spec::like(tape.tensor(output)))?;
                let of = inputs[usize::from(direction == Direction::GradWeight)];
                let gradients = tape.gradients_of(&[(output, seed)], &[of])?;
                *gradients.get(&of).ok_or_else(|| Error::Validation("a convolution without gradient".into()))?
            }
        };
        tape.keep(result);
        Ok((tape, result))
    }
}

fn label(input: &[usize], weight: &[usize], output: &[usize]) -> String {
    let stride = input[2].div_ceil(output[2].max(1));
    let stride = if stride > 1 && input[2].is_multiple_of(output[2]) { format!("/{stride}") } else { String::new() };
    let kernel = format!("{}x{}{stride}", weight[2], weight[3]);
    format!("{:4}x{:<3} {:4} -> {:4} {kernel}", input[2], input[3], input[1], weight[0])
}

pub fn run(bench: &mut Bench) -> Result<()> {
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Resnet18, Network::Vgg11, Network::Vgg16, Network::Resnet50Large],
        false => bench.options.networks.clone(),
    };
    let mut seen = HashSet::new();
    for network in networks {
        let batch = match network {
            _ if !bench.options.batch.is_empty() => bench.batch(),
            Network::Lenet5 => 64,
            Network::Resnet50Large => 4,
            _ => bench.batch(),
        };
        let convolutions = Convolution::distinct(network, batch, bench.options.width as usize, &mut seen)?;
        let title = format!("Convolutions of {}, batch {batch}", network.name());
        if convolutions.is_empty() {
            println!("\n{title}: all are among those above");
            continue;
        }
        if network == Network::Resnet50Large && bench.options.quick && bench.software() {
            bench.report.skip(&title, "--quick leaves it out on a software device");
            continue;
        }
        let rates = [("ms", 9), ("GFLOP/s", 7), ("peak", 5)];
        let mut columns = vec![("input, channels, kernel", -30)];
        (0..3).for_each(|_| columns.extend(rates));
        let names = Direction::ALL.map(|direction| format!("{:>23}", direction.name())).join(" ");
        bench.report.table(&format!("{title}\n{:32} {names}", ""), &columns);
        for convolution in convolutions {
            one(bench, network, batch, &convolution)?;
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, network: Network, batch: usize, convolution: &Convolution) -> Result<()> {
    let label = &convolution.label;
    if !bench.has_time_for(label, 3 * convolution.multiply_adds) {
        return Ok(());
    }
    row(bench, network, batch, convolution, None)?;
    if !bench.options.candidates {
        return Ok(());
    }
    // Every candidate of any of the three, in the order of the first that has it.
    let mut choices: Vec<Choice> = Vec::new();
    for direction in Direction::ALL {
        for choice in convolution.candidates(direction, &bench.device)? {
            // One invocation a result may take minutes on a software device.
            let slow = choice == "direct" && bench.software();
            if !slow && !choices.contains(&choice) {
                choices.push(choice);
            }
        }
    }
    choices.into_iter().try_for_each(|choice| row(bench, network, batch, convolution, Some(choice)))
}

/// A row of all three, by what is taken without a choice or by a candidate, where it is one.
fn row(
    bench: &mut Bench,
    network: Network,
    batch: usize,
    convolution: &Convolution,
    choice: Option<Choice>,
) -> Result<()> {
    let name = choice.as_ref().map_or(convolution.label.clone(), |choice| format!("  {choice}"));
    let mut cells = vec![name];
    let label = convolution.label.split_whitespace().collect::<Vec<_>>().join(" ");
    let candidate = choice.as_ref().map(Choice::to_string);
    let mut record = json!({"network": network.name(), "batch": batch, "convolution": label, "candidate": candidate});
    for direction in Direction::ALL {
        let skipped = direction == Direction::GradInput && convolution.first;
        let offered = match &choice {
            Some(choice) => convolution.candidates(direction, &bench.device)?.contains(choice),
            None => true,
        };
        if skipped || !offered {
            cells.extend(["-", "", ""].map(String::from));
            continue;
        }
        let choices = Choices { everywhere: choice.clone(), ..Choices::default() };
        let job = Job { choices, ..Job::new(convolution.tape(direction)?.0, &STEP) };
        let timed = job.time(&bench.device, bench.options.quick);
        let Some(timed) = bench.fits(&format!("{label} {}", direction.name()), timed)? else { return Ok(()) };
        let (gflops, share) = bench.rate(convolution.multiply_adds, timed.times.ms());
        cells.extend([ms(timed.times.ms()), rate(gflops), percent(share)]);
        let kernels = Value::from(timed.kernels);
        record[direction.name().replace(' ', "_")] = json!({
            "ms": timed.times.ms(), "wall_ms": timed.times.wall, "clock": timed.times.clock(), "gflops": gflops,
            "share": share, "kernels": kernels,
        });
    }
    bench.report.row(&cells, record);
    Ok(())
}

/// The operation of a node of another tape.
#[derive(Debug)]
struct Same(Arc<dyn Operation>);

impl Operation for Same {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        self.0.infer(inputs)
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        self.0.gradient(tape, node, grad_outputs, needs)
    }

    fn is_view(&self, inputs: &[&Tensor]) -> bool {
        self.0.is_view(inputs)
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.0.multiply_adds(inputs)
    }

    fn key(&self) -> Option<String> {
        self.0.key()
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        self.0.candidates(tensors, caps)
    }
}

impl DynTwin for Same {
    fn eval_f32(&self, inputs: &Inputs<'_, f32>, outputs: &mut Outputs<f32>) {
        self.0.eval_f32(inputs, outputs);
    }

    fn eval_f64(&self, inputs: &Inputs<'_, f64>, outputs: &mut Outputs<f64>) {
        self.0.eval_f64(inputs, outputs);
    }
}
