//! Reports of loss and accuracy come while the device goes on, in order, and with the numbers of the step that they are about.

use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::metrics::Metrics;
use tilegrad::optim::Sgd;
use tilegrad::train::{Event, Flow, GpuEngine, TrainOptions, Trainer};

use crate::check::device;

/// What a run says of itself.
#[derive(Debug, Default)]
struct Told {
    /// Epoch, images, and the bits of loss and accuracy, of each report.
    reports: Vec<(usize, usize, u64, u64)>,
    /// Steps that were submitted before each report came.
    submitted: Vec<u32>,
    /// How often the host had waited for the whole device, and what the device had made, after each step.
    waits: Vec<(u64, u64)>,
    /// The bits of every loss.
    losses: Vec<u32>,
}

/// Trains LeNet-5 for two epochs of 20 steps with a report each; `waiting` looks at the numbers after every step.
fn run(device: &Device, waiting: bool) -> Told {
    let mut train = ResidentSource::new("train", synthetic::digits(1, 320));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 32));
    let (model, engine) = (LeNet5::new(10), GpuEngine::new(device.clone()));
    let options = TrainOptions::default().epochs(2).batch_size(16).seed(1).report_every(1);
    let mut trainer = Trainer::new(model, Sgd::new(0.05), engine, options, &train).unwrap();
    let (mut told, mut steps) = (Told::default(), 0);
    let mut expected = Vec::new();
    let mut look = |event: &Event<'_>, trainer: &mut Trainer| {
        match event {
            Event::Progress { epoch, images, loss, accuracy, .. } => {
                told.reports.push((*epoch, *images, loss.to_bits(), accuracy.to_bits()));
                told.submitted.push(steps);
            }
            Event::Step { steps: so_far, epoch } => {
                steps = *so_far;
                let counters = device.counters();
                told.waits.push((counters.waits, counters.buffers));
                if waiting {
                    let metrics = Metrics::from_state(&trainer.engine().state("train.metrics")?)?;
                    let images = (steps as usize - 20 * (epoch - 1)) * 16;
                    expected.push((*epoch, images, metrics.loss.to_bits(), metrics.accuracy.to_bits()));
                }
            }
            _ => {}
        }
        Ok(Flow::Continue)
    };
    let history = trainer.fit_with(&mut train, &mut test, &mut [&mut look]).unwrap();
    if waiting {
        assert_eq!(told.reports, expected, "reports are of their own steps");
    }
    told.losses = history.losses.iter().map(|loss| loss.to_bits()).collect();
    told
}

#[test]
fn reports_neither_wait_for_the_device_nor_change_a_number() {
    if device().is_none() {
        return;
    }
    let device = Device::new(DeviceOptions::default()).unwrap();
    let waiting = run(&device, true);
    let told = run(&device, false);
    assert_eq!((&told.reports, &told.losses), (&waiting.reports, &waiting.losses));
    assert_eq!((told.reports.len(), told.losses.len()), (40, 40));
    // From the second step of an epoch to the last but one nothing waits for the whole device, and no more is made than what the
    // reports of the four steps under way, and of those beside them, lie in.
    for epoch in told.waits.chunks(20) {
        assert_eq!(epoch[1].0, epoch[18].0, "{:?}", told.waits);
        assert!(epoch[18].1 - epoch[1].1 <= 6, "{:?}", told.waits);
    }
    let each = |waits: &[(u64, u64)]| waits[18].0 - waits[1].0;
    assert_eq!(each(&waiting.waits), 17, "a run that looks after every step does wait");
    let late = told.submitted.iter().enumerate().filter(|&(i, &steps)| steps as usize > i).count();
    eprintln!("{late} of 40 reports came after a later step was submitted");
}
