//! Direct kernels of a convolution: one invocation per element of the result, right for every attribute.

use super::params::Problem;
use super::tiled::Product;
use super::{push_forward, push_grad_input, push_grad_weight};
use crate::kernel::{Candidate, Dispatch, Extent, Kernel, Make, Source, source};

fn kernel(name: &'static str, file: Source) -> Kernel {
    Kernel::new(name, &[file, source!("lib/each.wgsl")]).elements(1).constant("WG", 64)
}

/// The candidates of `make` where one invocation per result is faster than tiles; the direct kernel then goes first.
pub(super) fn where_better_than_tiles(of: &Problem, product: &Product, make: Make<Problem>) -> Vec<Candidate<'static>> {
    if product.suits_tiles(of) { Vec::new() } else { make(of) }
}

/// Computes output from input, weight and, if there are three operands, bias.
pub(super) fn forward(of: &Problem) -> Vec<Candidate<'static>> {
    let params = of.params;
    vec![Candidate::new("direct", move |lowering| {
        let kernel = kernel("conv2d/direct", source!("conv2d/direct.wgsl"));
        let extent = Extent::Invocations(lowering.output_len(0));
        push_forward(lowering, Dispatch::new(kernel, &params, extent).k_places(params.k), 1, None);
        Ok(())
    })]
}

/// Computes grad_input from grad_output and weight.
pub(super) fn grad_input(of: &Problem) -> Vec<Candidate<'static>> {
    let params = of.params;
    vec![Candidate::new("direct", move |lowering| {
        let kernel = kernel("conv2d_grad_input/direct", source!("conv2d/grad_input_direct.wgsl"));
        let dispatch = Dispatch::new(kernel, &params, Extent::Invocations(lowering.output_len(0)))
            .k_places(params.k / params.groups);
        push_grad_input(lowering, dispatch, 1);
        Ok(())
    })]
}

/// Computes grad_weight from input and grad_output.
pub(super) fn grad_weight(of: &Problem) -> Vec<Candidate<'static>> {
    let params = of.params;
    vec![Candidate::new("direct", move |lowering| {
        let kernel = kernel("conv2d_grad_weight/direct", source!("conv2d/grad_weight_direct.wgsl"));
        let dispatch = Dispatch::new(kernel, &params, Extent::Invocations(lowering.output_len(0))).k_places(params.k);
        push_grad_weight(lowering, dispatch, 1, params.m * params.n);
        Ok(())
    })]
}
