//! Rewrite rules that fuse pairs of nodes, so that the result of the first is not written and read again.
//!
//! Each rule looks at a node and at the node that computes one of its inputs. They are fused if nothing else reads the
//! tensor between them, and if neither depends on or disturbs a node between them. The fused node runs in the place of
//! the later one unless the rule says otherwise. Every result stays bitwise the same as without the rule (tested).

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Node, Operation, Tape};
use crate::kernel::Steps;
use crate::ops::activation::{Activation, ActivationGrad};
use crate::ops::batch_norm2d::BatchNorm2dAttributes;
use crate::ops::binary::Binary;
use crate::ops::conv2d::Conv2dAttributes;
use crate::ops::fused::activation_in_place::ActivationInPlace;
use crate::ops::fused::batch_norm2d_from_partials::BatchNorm2dFromPartials;
use crate::ops::fused::conv2d_statistics::Conv2dStatistics;
use crate::ops::fused::epilogue::WithEpilogue;
use crate::ops::fused::max_pool2d_grad_relu::MaxPool2dGradRelu;
use crate::ops::fused::softmax_cross_entropy_both::SoftmaxCrossEntropyBoth;
use crate::ops::max_pool2d::{MaxPool2dAttributes, MaxPool2dGrad};
use crate::ops::softmax_cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad};
use crate::tensor::{Role, Tensor, TensorId};

/// A rewrite rule.
pub struct FusionRule {
    /// The name by which [`crate::kernel::Choices::without_rules`] disables it.
    pub name: &'static str,
    /// Description of the nodes that it fuses.
    pub about: &'static str,
    join: fn(&Nodes, usize) -> Option<Joined>,
}

/// All rules, in the order in which they are tried at each node.
pub const RULES: &[FusionRule] = &[
    FusionRule {
        name: "add",
        about: "a product, a batch norm or a gradient, then the addition of another tensor: residual connections, gradients that meet",
        join: |nodes, at| {
            let (node, _) = nodes.node_of::<Binary>(at).filter(|(_, op)| **op == Binary::Add)?;
            // The later of the two, because the other operand exists by then.
            let mut makers: Vec<_> = (0..2).filter_map(|i| nodes.makes(node.inputs[i], at).map(|by| (by, i))).collect();
            makers.sort_unstable();
            makers.into_iter().rev().find_map(|(by, i)| {
                let steps = nodes.steps_of(by).filter(|f| *f == Steps::default())?;
                Some(nodes.with_epilogue(by, at, Steps { add: true, ..steps }, Some(node.inputs[1 - i])))
            })
        },
    },
    FusionRule {
        name: "relu",
        about: "a product with its bias, a batch norm or an addition, then relu",
        join: |nodes, at| {
            let (node, op) = nodes.node_of::<Activation>(at)?;
            let by = nodes.makes(node.inputs[0], at).filter(|_| *op == Activation::Relu)?;
            let steps = nodes.steps_of(by).filter(|f| !f.relu && !f.mask)?;
            Some(nodes.with_epilogue(by, at, Steps { relu: true, ..steps }, None))
        },
    },
    FusionRule {
        name: "pool_relu_gradient",
        about: "the gradient of max pooling, then that of the relu whose output was pooled: the winner is the pooling's output",
        join: |nodes, at| {
            let (node, op) = nodes.node_of::<ActivationGrad>(at)?;
            let by = nodes.makes(node.inputs[1], at).filter(|_| op.0 == Activation::Relu)?;
            let (gradient, pooling) = nodes.node_of::<MaxPool2dGrad>(by)?;
            let pool = (0..by).find(|&i| {
                let pool = nodes.node_of::<MaxPool2dAttributes>(i);
                pool.is_some_and(|(pool, _)| pool.outputs[1] == gradient.inputs[1] && pool.inputs[0] == node.inputs[0])
            })?;
            let output = nodes.get(pool)?.outputs[0];
            Some(nodes.joined(by, at, Arc::new(MaxPool2dGradRelu(pooling.clone())), Some(output)))
        },
    },
    FusionRule {
        name: "relu_gradient",
        about: "the gradient by the input of a product or of a pooling, or the sum of two, then the gradient of relu",
        join: |nodes, at| {
            let (node, op) = nodes.node_of::<ActivationGrad>(at)?;
            let by = nodes.makes(node.inputs[1], at).filter(|_| op.0 == Activation::Relu)?;
            let steps = nodes.steps_of(by).filter(|f| !f.relu && !f.mask)?;
            Some(nodes.with_epilogue(by, at, Steps { mask: true, ..steps }, Some(node.inputs[0])))
        },
    },
    FusionRule {
        name: "batch_norm_statistics",
        about: "a convolution, then batch norm in training: the product sums up what it has in its registers; both stay nodes",
        join: |nodes, at| {
            let (norm, op) = nodes.node_of::<BatchNorm2dAttributes>(at)?;
            // A cumulative average needs the count of batches before this one.
            let by = nodes.maker(norm.inputs[0], at).filter(|_| op.momentum.is_some())?;
            let (conv, conv_op) = nodes.node_of::<Conv2dAttributes>(by)?;
            let inputs: Vec<&Tensor> = conv.inputs.iter().map(|&id| nodes.tape.tensor(id)).collect();
            let op: Arc<dyn Operation> = Arc::new(BatchNorm2dFromPartials(*op));
            let mut first = Node { op: Arc::new(Conv2dStatistics(*conv_op)), ..conv.clone() };
            let spec = first.op.infer(&inputs).ok()?.pop()?;
            let partials = TensorId(nodes.tape.tensors().len());
            first.outputs.push(partials);
            let mut second = Node { op, ..norm.clone() };
            second.inputs.push(partials);
            let tensor = Tensor::activation(format!("{}.partials", norm.name), spec);
            Some(Joined { first: (by, Some(first)), second: (at, second), between: Some(tensor) })
        },
    },
    FusionRule {
        name: "softmax_cross_entropy",
        about: "the loss of a few rows and its gradient by the logits, which is made in the forward stage then",
        join: |nodes, at| {
            let (node, op) = nodes.node_of::<SoftmaxCrossEntropyGrad>(at)?;
            let [one, logits] = [node.inputs[0], node.inputs[1]].map(|id| nodes.tape.tensor(id));
            let alone = one.role == Role::Constant(1.0) && SoftmaxCrossEntropyBoth::is_small(logits);
            let made = |i: &usize| nodes.get(*i).is_some_and(|loss| loss.outputs.get(1) == Some(&node.inputs[3]));
            let loss = (0..at).find(made).filter(|_| alone && nodes.readers[node.inputs[3].0] == 1)?;
            // It reads only what the loss reads, so the gradient can be computed as early.
            let mut both = Node {
                op: Arc::new(SoftmaxCrossEntropyBoth(op.0)),
                ..nodes.node_of::<SoftmaxCrossEntropy>(loss)?.0.clone()
            };
            both.outputs.push(node.outputs[0]);
            Some(Joined::one(at, loss, both))
        },
    },
    FusionRule {
        name: "activation_in_place",
        about: "relu, sigmoid or tanh, whose gradients read the output, in the memory of an input that nothing else reads",
        join: |nodes, at| {
            let (node, op) = nodes.node_of::<Activation>(at)?;
            let by = nodes.makes(node.inputs[0], at).filter(|_| op.gradient_reads_output())?;
            // A view has no memory of its own.
            let maker = nodes.get(by)?;
            let inputs: Vec<_> = maker.inputs.iter().map(|&id| nodes.tape.tensor(id)).collect();
            let node = Node { op: Arc::new(ActivationInPlace(*op)), ..node.clone() };
            (!maker.op.is_view(&inputs)).then_some(Joined::one(at, at, node))
        },
    },
];

/// The replacement of two nodes.
struct Joined {
    /// Index of the first changed node, and its replacement, if any.
    first: (usize, Option<Node>),
    /// The same for the second node.
    second: (usize, Node),
    /// An additional tensor from the first to the second.
    between: Option<Tensor>,
}

impl Joined {
    /// Puts `node` in the place of node `at`, and removes node `gone`.
    fn one(gone: usize, at: usize, node: Node) -> Self {
        Joined { first: (gone, None), second: (at, node), between: None }
    }
}

/// The nodes of a tape while rules are applied. Nodes fused into a later one are gone.
struct Nodes {
    tape: Tape,
    nodes: Vec<Option<Node>>,
    /// Number of readers of each tensor; keeping it counts as one.
    readers: Vec<usize>,
}

/// Fuses the nodes of `tape` that are `live` by all rules except those in `without`.
pub(super) fn fuse(tape: &Tape, live: &[bool], without: &BTreeSet<String>) -> Result<Tape> {
    if let Some(unknown) = without.iter().find(|name| RULES.iter().all(|rule| rule.name != *name)) {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        return Err(Error::name(unknown, format!("no rewrite rule is called that; there are {}", known.join(", "))));
    }
    let mut nodes = Nodes::new(tape, live);
    for at in 0..nodes.nodes.len() {
        // A fused node may be fused again.
        let rules = || RULES.iter().filter(|rule| !without.contains(rule.name));
        while let Some(joined) = rules().find_map(|rule| (rule.join)(&nodes, at)) {
            nodes.apply(joined);
        }
    }
    Ok(nodes.tape.with_nodes(nodes.nodes.into_iter().flatten().collect()))
}

impl Nodes {
    fn new(tape: &Tape, live: &[bool]) -> Self {
        let nodes: Vec<Option<Node>> =
            tape.nodes().iter().zip(live).map(|(node, live)| live.then(|| node.clone())).collect();
        let mut nodes = Nodes { tape: tape.clone(), nodes, readers: Vec::new() };
        nodes.count_readers();
        nodes
    }

    fn apply(&mut self, joined: Joined) {
        if let Some(tensor) = joined.between {
            self.tape.add_tensor(tensor);
        }
        let ((first, node), (second, later)) = (joined.first, joined.second);
        self.nodes[first] = node;
        self.nodes[second] = Some(later);
        self.count_readers();
    }

    fn count_readers(&mut self) {
        self.readers = vec![0; self.tape.tensors().len()];
        let read = self.nodes.iter().flatten().flat_map(|node| &node.inputs).chain(self.tape.kept());
        read.for_each(|id| self.readers[id.0] += 1);
    }

    fn get(&self, i: usize) -> Option<&Node> {
        self.nodes[i].as_ref()
    }

    /// The node with its operation, if that is an `Op`.
    fn node_of<Op: Operation>(&self, i: usize) -> Option<(&Node, &Op)> {
        let node = self.get(i)?;
        let op: &dyn Any = &*node.op;
        op.downcast_ref::<Op>().map(|op| (node, op))
    }

    /// The node before `at` whose first output is `id`.
    fn maker(&self, id: TensorId, at: usize) -> Option<usize> {
        self.nodes[..at].iter().rposition(|n| n.as_ref().is_some_and(|n| n.outputs.first() == Some(&id)))
    }

    /// The node whose first output is `id`, if it can move to `at`, its only reader.
    fn makes(&self, id: TensorId, at: usize) -> Option<usize> {
        let by = self.maker(id, at)?;
        let (node, later) = (self.get(by)?, self.get(at)?);
        let (made, result) = (self.tape.tensor(id), self.tape.tensor(later.outputs[0]));
        // What a node between them reads of the first must exist by then, and what it updates must not be read later.
        let apart = self.nodes[by + 1..at].iter().flatten().all(|between| {
            between.inputs.iter().all(|id| !node.outputs.contains(id) && !node.updates.contains(id))
                && between.updates.iter().all(|id| !node.inputs.contains(id) && !node.updates.contains(id))
        });
        let alike = made.shape == result.shape && made.layout == result.layout;
        let passing = [made, result].iter().all(|tensor| tensor.role == Role::Activation);
        (self.readers[id.0] == 1 && apart && alike && passing && node.stage == later.stage).then_some(by)
    }

    /// The epilogue steps of a node so far; `None` if its kernels have no epilogue.
    fn steps_of(&self, i: usize) -> Option<Steps> {
        if let Some((_, fused)) = self.node_of::<WithEpilogue>(i) {
            return Some(fused.steps);
        }
        self.get(i)?.op.has_epilogue().then(Steps::default)
    }

    /// Replaces node `second` by node `first` with the epilogue `steps`; `operand` is read by the last step.
    fn with_epilogue(&self, first: usize, second: usize, steps: Steps, operand: Option<TensorId>) -> Joined {
        let op = match self.node_of::<WithEpilogue>(first) {
            Some((_, fused)) => Arc::clone(&fused.op),
            None => Arc::clone(&self.nodes[first].as_ref().expect("the rule has looked at it").op),
        };
        self.joined(first, second, Arc::new(WithEpilogue { op, steps }), operand)
    }

    /// Creates a node with `op` on the operands of node `first` and `operand`, with the first output of node `second`.
    fn joined(&self, first: usize, second: usize, op: Arc<dyn Operation>, operand: Option<TensorId>) -> Joined {
        let [one, two] = [first, second].map(|i| self.nodes[i].as_ref().expect("the rule has looked at it"));
        let name = if one.name == two.name { one.name.clone() } else { format!("{} + {}", one.name, two.name) };
        let mut node = Node { name, op, ..one.clone() };
        node.inputs.extend(operand);
        node.outputs[0] = two.outputs[0];
        Joined::one(first, second, node)
    }
}
