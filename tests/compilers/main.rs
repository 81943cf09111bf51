//! The kernels of training plans for four devices, and what other people's compilers make of them: AMD's here, by a driver that
//! needs no card, and Microsoft's and Chromium's by scripts (`scripts/check_dxc.py`, `scripts/check_dawn.py`), for which these
//! tests write the kernels.
//!
//! TILEGRAD_COMPILERS_OUT=DIR writes what AMD's compiler says to DIR/radv.md, with the costs that an earlier radv.md has beside its
//! own if TILEGRAD_COMPILERS_BEFORE names it; TILEGRAD_RADV_KERNEL=TEXT prints the innermost loops of kernels whose label contains
//! the text; TILEGRAD_EMIT=DIR writes the kernels to DIR.
//!
//! A test binary of its own, for it alone speaks Vulkan beside wgpu.

mod assembly;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "only the cards are of use here")]
mod common;
mod cost;
mod driver;
mod emit;
mod kernels;
mod radv;
mod rounds;
mod translate;

use common::cards;

#[test]
fn every_network_has_a_plan_on_every_card() {
    for card in cards::cards() {
        for (network, plan) in cards::plans(&card) {
            println!("{network} on {}: {} dispatches, {} kernels", card.name, plan.steps.len(), plan.kernels().len());
            let bound = plan.steps.iter().flat_map(|step| &step.bindings).map(|(_, span)| span.bytes).max();
            assert!(
                bound.unwrap() <= card.caps.max_binding,
                "{network} on {}: a binding of {bound:?} bytes",
                card.name
            );
        }
    }
}
