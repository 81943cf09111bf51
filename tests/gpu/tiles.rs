//! The core of products that shares tiles in workgroup memory, in every tile of its table: at sizes about those of the
//! tile, by vectors and by single elements, with a K dimension that is split.
//!
//! A matmul's gradients are the two products with a transposed operand, a convolution's the two other products of one. Every
//! tile is a pipeline of its own, so cases share them: extents are no constants.

use tilegrad::gpu::Device;
use tilegrad::kernel::Choice;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::matmul::Matmul;
use tilegrad::plan::candidates;

use crate::check::{Case, check_choices, device};
use crate::common::cases::{ConvCase, MatmulCase};
use crate::kernels;

/// Every tile of the core that this device can run, as a choice, with its rows and columns: a new line of the table is tested.
fn tiles(device: &Device) -> Vec<(String, usize, usize)> {
    let case = matmul(256, 256, 64);
    let candidates = candidates(&case.tape, &case.tape.nodes()[0], device.caps());
    let tile = |choice: Choice| {
        let (rows, rest) = choice.tile.as_ref()?.split_once('x')?;
        let (columns, _) = rest.split_once('x')?;
        Some((choice.to_string(), rows.parse().ok()?, columns.parse().ok()?))
    };
    candidates
        .into_iter()
        .filter(|choice| ["workgroup", "pipelined"].contains(&choice.name.as_str()))
        .filter_map(tile)
        .collect()
}

fn check(device: &Device, case: Case, choice: &str) {
    check_choices(device, case, &[choice], &[false]);
}

fn matmul(m: usize, n: usize, k: usize) -> Case {
    kernels::matmul(1, &MatmulCase { a: [m, k], b: [k, n], output: [m, n], op: Matmul::default(), bias: false })
}

fn conv(input: [usize; 4], out: usize, kernel: [usize; 2], conv: Conv2dAttributes) -> Case {
    let weight = [out, input[1], kernel[0], kernel[1]];
    kernels::conv(2, &ConvCase { input, weight, conv, bias: false })
}

#[test]
fn matmul_by_vectors_in_every_tile() {
    let Some(device) = device() else { return };
    for (choice, rows, columns) in tiles(device) {
        check(device, matmul(rows - 1, columns + 4, 20), &choice);
        check(device, matmul(rows + 1, columns - 4, rows + 4), &choice);
        check(device, matmul(rows, 4, columns + 4), &choice);
    }
}

#[test]
fn matmul_by_single_elements_in_every_tile() {
    let Some(device) = device() else { return };
    for (choice, rows, columns) in tiles(device) {
        check(device, matmul(rows + 1, columns - 1, 21), &choice);
        check(device, matmul(rows - 1, columns + 1, rows + 1), &choice);
        check(device, matmul(1, 1, 1), &choice);
    }
}

#[test]
fn convolutions_by_vectors_in_every_tile() {
    let Some(device) = device() else { return };
    for (choice, rows, columns) in tiles(device) {
        // The rows of a tile and one more, and channels on both sides of its columns.
        let line = Conv2dAttributes { padding: [0, 0, 1, 1], ..Conv2dAttributes::default() };
        check(device, conv([1, columns + 4, 1, rows + 1], columns - 4, [1, 3], line), &choice);
        // Runs of fewer places than are loaded at a time, and a weight's gradient that is split.
        let square = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
        check(device, conv([4, 8, 14, 15], 12, [3, 3], square), &choice);
        check(device, conv([3, 12, 3, 2], 4, [3, 2], square), &choice);
    }
}

#[test]
fn convolutions_with_strides_and_dilation() {
    let strided =
        Conv2dAttributes { stride: [2, 2], padding: [1, 2, 0, 1], dilation: [2, 1], ..Conv2dAttributes::default() };
    let Some(device) = device() else { return };
    for (choice, ..) in tiles(device) {
        check(device, conv([3, 20, 13, 10], 24, [3, 3], strided), &choice);
        check(device, conv([3, 3, 13, 10], 5, [5, 3], strided), &choice);
        check(device, conv([2, 1, 11, 9], 3, [3, 5], strided), &choice);
    }
}
