//! Shapes in PyTorch's order, where their elements lie in memory, and the output sizes of convolution and pooling.

use std::fmt;

use rayon::prelude::*;

/// The extents of a tensor in PyTorch's order: [N, C, H, W], `[rows, columns]`, `[out, in, kernel_h, kernel_w]`, `[n]`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape from its extents.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Shape(dims.into())
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// How many extents there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The four extents of a rank-4 shape.
    pub fn nchw(&self) -> Option<[usize; 4]> {
        self.0.as_slice().try_into().ok()
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", dims.join(","))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The order in which a tensor's elements lie in device memory; interfaces, files and the twins keep PyTorch's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// PyTorch's order, row by row.
    #[default]
    RowMajor,
    /// Activations, channels last: [N, H, W, C] in memory for a logical [N, C, H, W].
    ChannelsLast,
    /// Convolution weights: [kernel_h, kernel_w, in/groups, out] in memory for a logical [out, in/groups, kernel_h, kernel_w].
    Hwio,
}

impl Layout {
    /// Elements in PyTorch's order, brought into the order of memory; large ones on all cores.
    pub fn to_memory<T: Copy + Default + Send + Sync>(self, shape: &Shape, values: &[T]) -> Vec<T> {
        let Some([n, c, h, w]) = self.reorders(shape) else { return values.to_vec() };
        let (pixels, all) = (h * w, c * h * w);
        match self {
            // Rows of memory are the n h w pixels, of c channels each; or the h w c places of a kernel, of n outputs each.
            Layout::ChannelsLast if c <= FEW => few_channels(values, [c, pixels]),
            Layout::ChannelsLast => rows(values, c, pixels, |row| row / pixels * all + row % pixels),
            _ => rows(values, n, all, |row| row % c * pixels + row / c),
        }
    }

    /// Elements in the order of memory, brought into PyTorch's order; large ones on all cores.
    pub fn to_logical<T: Copy + Default + Send + Sync>(self, shape: &Shape, memory: &[T]) -> Vec<T> {
        let Some([n, c, h, w]) = self.reorders(shape) else { return memory.to_vec() };
        let pixels = h * w;
        // Rows of PyTorch's order are the n c planes, of h w pixels each.
        match self {
            Layout::ChannelsLast => rows(memory, pixels, c, |row| row / c * c * pixels + row % c),
            _ => rows(memory, pixels, n * c, |row| row % c * n + row / c),
        }
    }

    /// The four extents, if the two orders differ.
    fn reorders(self, shape: &Shape) -> Option<[usize; 4]> {
        let dims = shape.nchw().filter(|_| !shape.is_empty())?;
        let [n, c, h, w] = dims;
        // Of one channel, or of one pixel, both orders of an activation are the same; of a weight, those of one output and
        // one input, or of one output and one place.
        match self {
            Layout::RowMajor => false,
            Layout::ChannelsLast => c > 1 && h * w > 1,
            Layout::Hwio => (n > 1 && c * h * w > 1) || (c > 1 && h * w > 1),
        }
        .then_some(dims)
    }
}

/// From so many elements on all cores copy.
const PARALLEL: usize = 1 << 16;
/// Images of so many channels have a loop of their own.
const FEW: usize = 4;
/// Rows and columns of the blocks in which elements are moved: what is read for one row is still in the cache for the next
/// ones. Strides are often large powers of two, of which a cache keeps only as many lines as it has ways.
const BLOCK: [usize; 2] = [32, 16];

/// Rows of `len` elements, where element `i` of a row is that at `first(row) + i stride` of `values`.
fn rows<T: Copy + Default + Send + Sync>(
    values: &[T],
    len: usize,
    stride: usize,
    first: impl Fn(usize) -> usize + Sync,
) -> Vec<T> {
    let mut moved = vec![T::default(); values.len()];
    in_parts(&mut moved, BLOCK[0] * len, |block, part| {
        for begin in (0..len).step_by(BLOCK[1]) {
            for (row, to) in part.chunks_exact_mut(len).enumerate() {
                let from = &values[first(BLOCK[0] * block + row) + begin * stride..];
                match to[begin..].first_chunk_mut::<{ BLOCK[1] }>() {
                    // Of a number that the compiler knows.
                    Some(to) => to.iter_mut().enumerate().for_each(|(i, to)| *to = from[i * stride]),
                    None => to[begin..].iter_mut().enumerate().for_each(|(i, to)| *to = from[i * stride]),
                }
            }
        }
    });
    moved
}

/// Images of `channels` planes of `pixels` elements, with the channels last.
fn few_channels<T: Copy + Default + Send + Sync>(values: &[T], [channels, pixels]: [usize; 2]) -> Vec<T> {
    fn image<T: Copy, const C: usize>(from: &[T], to: &mut [T]) {
        let pixels = from.len() / C;
        let planes: [&[T]; C] = std::array::from_fn(|channel| &from[channel * pixels..][..pixels]);
        for (pixel, to) in to.chunks_exact_mut(C).enumerate() {
            (0..C).for_each(|channel| to[channel] = planes[channel][pixel]);
        }
    }
    let mut moved = vec![T::default(); values.len()];
    let bytes = channels * pixels;
    in_parts(&mut moved, bytes, |i, to| {
        let from = &values[i * bytes..][..bytes];
        match channels {
            2 => image::<T, 2>(from, to),
            3 => image::<T, 3>(from, to),
            _ => image::<T, 4>(from, to),
        }
    });
    moved
}

/// Calls `each` with the number and the content of every part of `len` elements, on all cores where that is worth it.
fn in_parts<T: Send>(all: &mut [T], len: usize, each: impl Fn(usize, &mut [T]) + Sync + Send) {
    match all.len() < PARALLEL {
        true => all.chunks_mut(len).enumerate().for_each(|(i, part)| each(i, part)),
        false => all.par_chunks_mut(len).enumerate().for_each(|(i, part)| each(i, part)),
    }
}

/// What an element of a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: activations, parameters, gradients.
    F32,
    /// 32-bit signed integer: class labels and sample indices.
    I32,
    /// Byte: resident images. In device memory four lie in one word, and an image is padded to whole words.
    U8,
}

/// The output extent of a convolution: floor((input + padding - dilation (kernel - 1) - 1) / stride) + 1.
///
/// `padding` is the sum of both sides. `None` where the dilated kernel is larger than the padded input. Source: torch.nn.Conv2d.
pub fn conv_output(input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    let span = dilation * (kernel - 1) + 1;
    (input + padding).checked_sub(span).map(|room| room / stride + 1)
}

/// The output extent of a pooling window, with `padding` on each side; with `ceil_mode` the last window may start
/// inside the input or the left padding but not in the right padding. Source: torch.nn.MaxPool2d, pooling_output_shape.
pub fn pool_output(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil_mode: bool,
) -> Option<usize> {
    let room = (input + 2 * padding).checked_sub(dilation * (kernel - 1) + 1);
    if !ceil_mode {
        return room.map(|room| room / stride + 1);
    }
    // A window that reaches past the right padding counts if it starts before it, so the room may be negative by up to a stride.
    let short = (dilation * (kernel - 1) + 1).saturating_sub(input + 2 * padding);
    let mut output = match room {
        Some(room) => room.div_ceil(stride) + 1,
        None if short < stride => 1,
        None => return None,
    };
    if (output - 1) * stride >= input + padding {
        output -= 1;
    }
    (output > 0).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_permutations_that_undo_each_other() {
        let shape = Shape::from([2, 3, 4, 5]);
        let values: Vec<usize> = (0..shape.len()).collect();
        for layout in [Layout::RowMajor, Layout::ChannelsLast, Layout::Hwio] {
            let memory = layout.to_memory(&shape, &values);
            assert_eq!(layout.to_logical(&shape, &memory), values);
        }
        let memory = Layout::ChannelsLast.to_memory(&shape, &values);
        assert_eq!(memory[1], 20, "the second place holds channel 1 of the first pixel");
        let memory = Layout::Hwio.to_memory(&shape, &values);
        assert_eq!(memory[1], 60, "the second place holds output channel 1");
    }

    /// Where the element at these places of the axes, in PyTorch's order, lies in memory.
    fn place(layout: Layout, [n, c, h, w]: [usize; 4], [i, j, y, x]: [usize; 4]) -> usize {
        match layout {
            Layout::RowMajor => ((i * c + j) * h + y) * w + x,
            Layout::ChannelsLast => ((i * h + y) * w + x) * c + j,
            Layout::Hwio => ((y * w + x) * c + j) * n + i,
        }
    }

    #[test]
    fn every_element_lies_where_the_layout_says() {
        let odd = [
            [1, 1, 1, 1],
            [2, 1, 5, 7],
            [3, 2, 5, 1],
            [2, 3, 7, 5],
            [5, 4, 3, 3],
            [1, 5, 1, 9],
            [7, 65, 3, 3],
            [9, 17, 1, 1],
            [1, 6, 1, 1],
            [130, 1, 1, 1],
            [0, 3, 2, 2],
            [2, 67, 13, 11],
            // Large enough for all cores.
            [11, 3, 47, 53],
            [3, 129, 17, 15],
            [257, 33, 3, 3],
        ];
        for dims in odd {
            let (shape, [n, c, h, w]) = (Shape::from(dims), dims);
            let values: Vec<u32> = (0..shape.len() as u32).collect();
            for layout in [Layout::RowMajor, Layout::ChannelsLast, Layout::Hwio] {
                let memory = layout.to_memory(&shape, &values);
                assert_eq!(memory.len(), values.len());
                let mut next = values.iter();
                for i in 0..n {
                    for j in 0..c {
                        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                            let place = place(layout, dims, [i, j, y, x]);
                            assert_eq!(Some(&memory[place]), next.next(), "{layout:?} {shape} at {:?}", [i, j, y, x]);
                        }
                    }
                }
                assert!(layout.to_logical(&shape, &memory) == values, "{layout:?} {shape} and back");
            }
        }
    }

    #[test]
    fn output_sizes_are_those_of_pytorch() {
        assert_eq!(conv_output(28, 5, 1, 4, 1), Some(28));
        assert_eq!(conv_output(7, 3, 2, 2, 2), Some(3));
        assert_eq!(conv_output(2, 3, 1, 0, 1), None);
        assert_eq!(pool_output(7, 2, 2, 0, 1, false), Some(3));
        assert_eq!(pool_output(7, 2, 2, 0, 1, true), Some(4));
        // ceil gives 3, but the third window would start at 6 >= 5 + 1, in the right padding.
        assert_eq!(pool_output(5, 2, 3, 1, 1, true), Some(2));
        assert_eq!(pool_output(2, 3, 2, 0, 1, true), Some(1));
        assert_eq!(pool_output(2, 4, 2, 0, 1, true), None);
    }
}
