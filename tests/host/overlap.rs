//! What may run at the same time: no dispatch overtakes one that it depends on, and fewer wait for those before them.

use std::collections::HashMap;

use tilegrad::gpu::{Access, reflect};
use tilegrad::kernel::Kernel;
use tilegrad::plan::{Buffer, Plan, Uses, barriers};

use crate::common::cards::{Network, h100, m2, plan, rx6800xt};

/// The buffers of every dispatch, with whether it writes them.
fn uses(plan: &Plan) -> Vec<Uses<'_>> {
    let mut written: HashMap<&Kernel, Vec<String>> = HashMap::new();
    for kernel in plan.kernels() {
        let all = reflect(kernel).unwrap().bindings.into_iter();
        let names = all.filter(|(.., access)| *access == Access::ReadWrite).map(|(name, ..)| name).collect();
        written.insert(kernel, names);
    }
    plan.steps
        .iter()
        .map(|step| {
            let writes = |name: &str| written[&step.kernel].iter().any(|other| other == name);
            step.bindings.iter().map(|(name, span)| (&span.buffer, writes(name))).collect()
        })
        .collect()
}

#[test]
fn gradients_by_input_and_by_weight_begin_together() {
    // As on a device whose memory is too slow for Winograd's algorithm, whose first dispatch needs the weights alone.
    let mut card = h100();
    card.caps.multiply_adds_per_byte = 1_000;
    let plan = plan(&card, Network::Resnet18, 128);
    let uses = uses(&plan);
    let count = plan.steps.len();
    let (one, passes) = (vec![(0..count).collect::<Vec<_>>()], plan.passes(0..count, &uses));
    let (before, after) = (barriers(&one, &uses), barriers(&passes, &uses));
    eprintln!("ResNet-18: {count} dispatches; {before} barriers in one pass, {after} in {} passes", passes.len());
    // Everything waits for everything but the count of updates, since all gradients of parameters are one buffer; a layer's two
    // gradients need not.
    assert_eq!(before, count - 2);
    assert!(
        passes.len() > 10 && after <= before - 2 * (passes.len() - 1),
        "{after} barriers in {} passes",
        passes.len()
    );
    for pass in &passes[1..] {
        let [first, second] = [&plan.steps[pass[0]], &plan.steps[pass[1]]];
        let operations = [first.operation, second.operation];
        assert_eq!(operations, ["conv2d_grad_weight", "conv2d_grad_input"], "{} and {}", first.node, second.node);
        assert_eq!(barriers(&[pass[..2].to_vec()], &uses), 0, "{}", first.node);
    }
}

#[test]
fn no_dispatch_overtakes_one_that_it_depends_on() {
    for (card, network, batch) in
        [(h100(), Network::Resnet18, 128), (m2(), Network::Vgg11, 128), (rx6800xt(), Network::Resnet50Large, 32)]
    {
        let plan = plan(&card, network, batch);
        let uses = uses(&plan);
        let passes = plan.passes(0..plan.steps.len(), &uses);
        let order: Vec<usize> = passes.concat();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..plan.steps.len()).collect::<Vec<_>>(), "each runs once");
        assert!(passes.len() > 1, "{} on {}", network.name(), card.name);
        for (at, &number) in order.iter().enumerate() {
            for &earlier in order[at..].iter().filter(|&&other| other < number) {
                let shares = |(buffer, writes): &(&Buffer, bool)| {
                    uses[number].iter().any(|(other, also)| buffer == other && (*writes || *also))
                };
                assert!(!uses[earlier].iter().any(shares), "{number} runs before {earlier}");
                assert_eq!(plan.steps[earlier].stage, plan.steps[number].stage);
            }
        }
        // Parts are arranged one by one.
        let passes = plan.passes(10..40, &uses);
        assert!(passes.concat().iter().all(|number| (10..40).contains(number)) && passes.concat().len() == 30);
    }
}
