//! The kernels of training plans for four devices, and what other people's compilers make of them.

#[path = "../common/cards.rs"]
mod cards;

#[test]
fn every_network_has_a_plan_on_every_card() {
    for card in cards::cards() {
        for (network, plan) in cards::plans(&card) {
            println!("{} on {}: {} dispatches, {} kernels", network, card.name, plan.steps.len(), plan.kernels().len());
            let bound = plan.steps.iter().flat_map(|step| &step.bindings).map(|(_, span)| span.bytes).max().unwrap();
            assert!(bound <= card.caps.max_binding, "{network} on {}: a binding of {bound} bytes", card.name);
        }
    }
}
