//! The pass that resolves the operands of dispatches to memory.

use super::flat::ParameterLayout;
use super::lower::LoweredNode;
use super::place::Places;
use super::{Buffer, Span, Step};
use crate::error::Result;
use crate::graph::{Node, Tape};
use crate::kernel::{Caps, Dispatch, Extent, Operand, Serial, too_large};
use crate::tensor::Tensor;

/// The steps of a plan: the dispatches of all nodes with their memory.
pub(super) fn bind(
    tape: &Tape,
    lowered: Vec<LoweredNode>,
    places: &Places,
    layout: &ParameterLayout,
    caps: &Caps,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for LoweredNode { number, dispatches, .. } in lowered {
        let node = &tape.nodes()[number];
        let resolve = |operand: Operand| match operand {
            Operand::Tensor { id, piece } => places.tensors[&id][piece].clone(),
            Operand::Scratch(piece) => places.scratch[&(number, piece)].clone(),
            Operand::Flat { buffer, group, piece } => {
                Span { buffer: Buffer::Flat { buffer, group, piece }, offset: 0, bytes: layout.pieces(group)[piece] }
            }
        };
        binds_every_piece(tape, node, &dispatches, places, caps)?;
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
        let shares = shares(node.op.multiply_adds(&inputs), &dispatches);
        for (dispatch, multiply_adds) in dispatches.into_iter().zip(shares) {
            steps.push(Step {
                node: node.name.clone(),
                operation: node.op.name(),
                stage: node.stage,
                kernel: dispatch.kernel,
                bindings: dispatch.bindings.iter().map(|binding| (binding.name, resolve(binding.operand))).collect(),
                params: dispatch.params,
                extent: dispatch.extent,
                serial: dispatch.serial,
                output: node.outputs.first().map(|&id| tape.shape(id).clone()),
                multiply_adds,
                executed: dispatch.executed.unwrap_or(multiply_adds),
            });
        }
    }
    Ok(steps)
}

/// Returns an error if the node's dispatches omit a piece of one of its tensors. An operation that only handles whole
/// tensors must not silently see the first piece alone. Operations over flat buffers handle their pieces.
fn binds_every_piece(tape: &Tape, node: &Node, dispatches: &[Dispatch], places: &Places, caps: &Caps) -> Result<()> {
    let operands: Vec<Operand> = dispatches.iter().flat_map(|d| d.bindings.iter().map(|b| b.operand)).collect();
    let flat = operands.iter().any(|operand| matches!(operand, Operand::Flat { .. }));
    for &id in node.inputs.iter().chain(&node.outputs) {
        let pieces = places.tensors[&id].len();
        let all = (0..pieces).all(|piece| operands.contains(&Operand::Tensor { id, piece }));
        if pieces > 1 && !flat && !all {
            return Err(too_large(tape.tensor(id), caps.max_binding.min(caps.max_buffer)));
        }
    }
    Ok(())
}

/// Divides a node's `total` multiply-adds among its dispatches: products get them in proportion to their size and
/// length, and preparing or summing dispatches get none. If no dispatch is a product, the first kernel's dispatches get
/// them.
fn shares(total: u64, dispatches: &[Dispatch]) -> Vec<u64> {
    let places = |dispatch: &Dispatch| match dispatch.serial {
        Some(Serial::KPlaces(places)) => Some(places.max(1)),
        _ => None,
    };
    let said = dispatches.iter().any(|dispatch| places(dispatch).is_some());
    let weight = |dispatch: &Dispatch| {
        let places = if said { places(dispatch) } else { (dispatch.kernel == dispatches[0].kernel).then_some(1) };
        let (Extent::Invocations(count) | Extent::Workgroups(count)) = dispatch.extent;
        u128::from(count) * u128::from(places.unwrap_or(0))
    };
    let all = dispatches.iter().map(weight).sum::<u128>().max(1);
    let mut before = 0;
    let share = |dispatch: &Dispatch| {
        // The difference of running totals, so that the shares add up exactly.
        let from = u128::from(total) * before / all;
        before += weight(dispatch);
        (u128::from(total) * before / all - from) as u64
    };
    dispatches.iter().map(share).collect()
}
