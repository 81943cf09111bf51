//! The core of products that shares tiles in workgroup memory, in every tile of its table: at sizes about those of the
//! tile, by vectors and by single elements, with a depth that is split.
//!
//! A matmul's gradients are the two products with a transposed operand, a convolution's the two other products of one. Every
//! tile is a pipeline of its own, so cases share them: extents are no constants.

use tilegrad::ops::conv2d::Conv2d;
use tilegrad::ops::matmul::Matmul;

use crate::cases::{ConvCase, MatmulCase};
use crate::check::{Case, check_choices, device};
use crate::kernels;

/// Every tile with its rows and columns.
const TILES: [(&str, usize, usize); 7] = [
    ("workgroup:128x128x8", 128, 128),
    ("workgroup:128x64x16", 128, 64),
    ("workgroup:64x64x16", 64, 64),
    ("workgroup:64x64x16-8x8", 64, 64),
    ("workgroup:32x64x16", 32, 64),
    ("workgroup:64x32x16", 64, 32),
    ("workgroup:64x16x16", 64, 16),
];

fn check(case: Case, choice: &'static str) {
    let Some(device) = device() else { return };
    check_choices(device, case, &[choice], &[false]);
}

fn matmul(m: usize, n: usize, k: usize) -> Case {
    kernels::matmul(1, &MatmulCase { a: [m, k], b: [k, n], output: [m, n], op: Matmul::default(), bias: false })
}

fn conv(input: [usize; 4], out: usize, kernel: [usize; 2], conv: Conv2d) -> Case {
    let weight = [out, input[1], kernel[0], kernel[1]];
    kernels::conv(2, &ConvCase { input, weight, conv, bias: false })
}

#[test]
fn the_table_is_the_tests() {
    let case = matmul(256, 256, 64);
    let Some(device) = device() else { return };
    let node = &case.tape.nodes()[0];
    let inputs: Vec<_> = node.inputs.iter().map(|&id| case.tape.tensor(id)).collect();
    let mut tiles = node.op.tiles("workgroup", &inputs, device.caps());
    let mut tested: Vec<&str> = TILES.iter().map(|(choice, ..)| choice.trim_start_matches("workgroup:")).collect();
    tiles.sort_unstable();
    tested.sort_unstable();
    assert_eq!(tiles, tested);
}

#[test]
fn matmul_by_vectors_in_every_tile() {
    for (choice, rows, columns) in TILES {
        check(matmul(rows - 1, columns + 4, 20), choice);
        check(matmul(rows + 1, columns - 4, rows + 4), choice);
        check(matmul(rows, 4, columns + 4), choice);
    }
}

#[test]
fn matmul_by_single_elements_in_the_tiles_that_are_no_default() {
    for (choice, rows, columns) in &TILES[..3] {
        check(matmul(rows + 1, columns - 1, 21), choice);
        check(matmul(rows - 1, columns + 1, rows + 1), choice);
        check(matmul(1, 1, 1), choice);
    }
}

#[test]
fn convolutions_by_vectors_in_every_tile() {
    for (choice, rows, columns) in TILES {
        // The rows of a tile and one more, and channels on both sides of its columns.
        let line = Conv2d { padding: [0, 0, 1, 1], ..Conv2d::default() };
        check(conv([1, columns + 4, 1, rows + 1], columns - 4, [1, 3], line), choice);
        // Runs of fewer places than are loaded at a time, and a weight's gradient that is split.
        let square = Conv2d { padding: [1; 4], ..Conv2d::default() };
        check(conv([4, 8, 14, 15], 12, [3, 3], square), choice);
        check(conv([3, 12, 3, 2], 4, [3, 2], square), choice);
    }
}

#[test]
fn convolutions_with_strides_and_dilation() {
    let strided = Conv2d { stride: [2, 2], padding: [1, 2, 0, 1], dilation: [2, 1], ..Conv2d::default() };
    for (choice, ..) in &TILES[1..3] {
        check(conv([3, 20, 13, 10], 24, [3, 3], strided), choice);
        check(conv([3, 3, 13, 10], 5, [5, 3], strided), choice);
        check(conv([2, 1, 11, 9], 3, [3, 5], strided), choice);
    }
}
