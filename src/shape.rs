//! Shapes in PyTorch's order, memory layouts, and the output sizes of convolution and pooling.

use std::fmt;

use rayon::prelude::*;

use crate::error::{Error, Quantity, Result};

/// The extents of a tensor in PyTorch's order: [N, C, H, W], `[rows, columns]`, `[out, in, kernel_h, kernel_w]`, `[n]`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Creates a shape from its extents.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Shape(dims.into())
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of extents.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of elements, or `None` if no memory could hold them: if their bytes are beyond an `isize`.
    pub fn checked_len(&self) -> Option<usize> {
        let most = isize::MAX as usize / size_of::<u64>();
        self.0.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent)).filter(|&len| len <= most)
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The four extents of a rank-4 shape; `None` for other ranks.
    pub fn nchw(&self) -> Option<[usize; 4]> {
        self.0.as_slice().try_into().ok()
    }
}

impl From<&Shape> for Quantity {
    fn from(shape: &Shape) -> Self {
        Quantity::Extents(shape.0.clone())
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

/// The size of images: height, width and channels. Prints as "32x32x3", height first.
/// ```
/// use tilegrad::shape::ImageSize;
///
/// let size = ImageSize::new(28, 30, 1);
/// assert_eq!((size.height, size.width, size.channels), (28, 30, 1));
/// assert_eq!(size.to_string(), "28x30x1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Number of rows.
    pub height: usize,
    /// Number of pixels in a row.
    pub width: usize,
    /// Number of values per pixel: 1 for gray, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageSize {
    /// Creates a size from its three numbers, in the order of [`ImageSet`](crate::data::ImageSet)'s bytes.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        ImageSize { height, width, channels }
    }

    /// Number of values in an image: height x width x channels.
    ///
    /// # Panics
    /// If the product overflows, in a build with overflow checks. [`ImageSize::checked_values`] returns `None` instead.
    pub const fn values(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Number of values in an image, or `None` if it overflows a `usize`.
    pub fn checked_values(self) -> Option<usize> {
        self.height.checked_mul(self.width)?.checked_mul(self.channels)
    }

    /// The extents in PyTorch's order, \[C, H, W\].
    pub const fn chw(self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// The shape of a batch of `count` images in PyTorch's order, [N, C, H, W].
    pub const fn nchw(self, count: usize) -> [usize; 4] {
        [count, self.channels, self.height, self.width]
    }
}

impl From<ImageSize> for Quantity {
    fn from(ImageSize { height, width, channels }: ImageSize) -> Self {
        Quantity::Image([height, width, channels])
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// The window that an operation slides over an image. Every pair is (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step from one window to the next.
    pub stride: [usize; 2],
    /// Rows or columns added around the image: top, bottom, left, right.
    pub padding: [usize; 4],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
}

/// The order of a tensor's elements in device memory. Interfaces, files and twins keep PyTorch's order.
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
    /// Reorders elements from PyTorch's order to memory order; large tensors use all cores.
    pub fn to_memory<T: Copy + Default + Send + Sync>(self, shape: &Shape, values: &[T]) -> Vec<T> {
        let Some([n, c, h, w]) = self.reorders(shape) else { return values.to_vec() };
        let (pixels, all) = (h * w, c * h * w);
        match self {
            // Rows of memory are the n h w pixels of c channels each, or the h w c kernel positions of n outputs each.
            Layout::ChannelsLast if c <= FEW => few_channels(values, [c, pixels]),
            Layout::ChannelsLast => rows(values, c, pixels, |row| row / pixels * all + row % pixels),
            _ => rows(values, n, all, |row| row % c * pixels + row / c),
        }
    }

    /// Reorders elements from memory order to PyTorch's order; large tensors use all cores.
    pub fn to_logical<T: Copy + Default + Send + Sync>(self, shape: &Shape, memory: &[T]) -> Vec<T> {
        let Some([n, c, h, w]) = self.reorders(shape) else { return memory.to_vec() };
        let pixels = h * w;
        // Rows of PyTorch's order are the n c planes of h w pixels each.
        match self {
            Layout::ChannelsLast => rows(memory, pixels, c, |row| row / c * c * pixels + row % c),
            _ => rows(memory, pixels, n * c, |row| row % c * n + row / c),
        }
    }

    /// The four extents, if the two orders differ.
    fn reorders(self, shape: &Shape) -> Option<[usize; 4]> {
        let dims = shape.nchw().filter(|_| !shape.is_empty())?;
        let [n, c, h, w] = dims;
        // Both orders of an activation are the same for one channel or one pixel; those of a weight are the same for
        // one output and one input, or for one output and one kernel position.
        match self {
            Layout::RowMajor => false,
            Layout::ChannelsLast => c > 1 && h * w > 1,
            Layout::Hwio => (n > 1 && c * h * w > 1) || (c > 1 && h * w > 1),
        }
        .then_some(dims)
    }
}

/// Number of elements from which all cores copy.
const PARALLEL: usize = 1 << 16;
/// Largest number of channels for which images have a dedicated loop.
const FEW: usize = 4;
/// Rows and columns of the blocks in which elements are moved: a cache line read for one row is still cached for the
/// next rows. Strides are often large powers of two, for which a cache keeps only as many lines as it has ways.
const BLOCK: [usize; 2] = [32, 16];

/// Rows of `len` elements; element `i` of a row is at `first(row) + i stride` of `values`.
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
                    // The compiler knows this length.
                    Some(to) => to.iter_mut().enumerate().for_each(|(i, to)| *to = from[i * stride]),
                    None => to[begin..].iter_mut().enumerate().for_each(|(i, to)| *to = from[i * stride]),
                }
            }
        }
    });
    moved
}

/// Converts images of `channels` planes of `pixels` elements to channels-last.
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

/// Calls `each` with the index and content of every part of `len` elements, on all cores if that pays.
fn in_parts<T: Send>(all: &mut [T], len: usize, each: impl Fn(usize, &mut [T]) + Sync + Send) {
    match all.len() < PARALLEL {
        true => all.chunks_mut(len).enumerate().for_each(|(i, part)| each(i, part)),
        false => all.par_chunks_mut(len).enumerate().for_each(|(i, part)| each(i, part)),
    }
}

/// Data type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: activations, parameters, gradients.
    F32,
    /// 32-bit signed integer: class labels and sample indices.
    I32,
    /// Byte: resident images. In device memory four bytes share one word, and each image is padded to whole words.
    U8,
}

/// The output extent of a convolution: floor((input + padding - dilation (kernel - 1) - 1) / stride) + 1.
///
/// `padding` is the sum of both sides. [`Error::Config`] names a kernel, stride or dilation of 0, or a dilated kernel
/// larger than the padded input. Source: torch.nn.Conv2d.
pub fn conv_output(input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Result<usize> {
    let (span, padded) = (span(kernel, stride, dilation)?, padded(input, padding)?);
    match padded.checked_sub(span) {
        Some(room) => Ok(room / stride + 1),
        None => Err(too_large(span, padded)),
    }
}

/// The output extent of a pooling window, with `padding` on each side. With `ceil_mode` the last window may start
/// inside the input or the left padding, but not in the right padding.
///
/// Errors are those of [`conv_output`]. Source: torch.nn.MaxPool2d, pooling_output_shape.
pub fn pool_output(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil_mode: bool,
) -> Result<usize> {
    let both = padding.saturating_mul(2);
    if !ceil_mode {
        return conv_output(input, kernel, stride, both, dilation);
    }
    let (span, padded) = (span(kernel, stride, dilation)?, padded(input, both)?);
    // A window that reaches past the right padding counts if it starts before it, so the room may be negative by up to
    // a stride.
    let mut output = match padded.checked_sub(span) {
        Some(room) => room.div_ceil(stride) + 1,
        None if span - padded < stride => 1,
        None => return Err(too_large(span, padded)),
    };
    if (output - 1).saturating_mul(stride) >= input + padding {
        output -= 1;
    }
    if output > 0 { Ok(output) } else { Err(too_large(span, padded)) }
}

/// Distance from a kernel's first element to its last.
fn span(kernel: usize, stride: usize, dilation: usize) -> Result<usize> {
    let named = [("kernel", kernel), ("stride", stride), ("dilation", dilation)];
    if let Some((name, _)) = named.into_iter().find(|(_, value)| *value == 0) {
        return Err(Error::config(name, "is 0, must be at least 1"));
    }
    let span = dilation.checked_mul(kernel - 1).and_then(|span| span.checked_add(1));
    span.ok_or_else(|| {
        Error::config("dilation", format!("of {dilation} makes a kernel of {kernel} too large to count"))
    })
}

fn padded(input: usize, padding: usize) -> Result<usize> {
    let padded = input.checked_add(padding);
    padded.ok_or_else(|| Error::config("padding", format!("of {padding} makes an input of {input} too large to count")))
}

fn too_large(span: usize, padded: usize) -> Error {
    Error::config("kernel", format!("spans {span}, more than the padded input of {padded}"))
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

    /// Memory index of the element at these positions on the axes in PyTorch's order.
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
        assert_eq!(conv_output(28, 5, 1, 4, 1).unwrap(), 28);
        assert_eq!(conv_output(7, 3, 2, 2, 2).unwrap(), 3);
        assert_eq!(pool_output(7, 2, 2, 0, 1, false).unwrap(), 3);
        assert_eq!(pool_output(7, 2, 2, 0, 1, true).unwrap(), 4);
        // ceil gives 3, but the third window would start at 6 >= 5 + 1, in the right padding.
        assert_eq!(pool_output(5, 2, 3, 1, 1, true).unwrap(), 2);
        assert_eq!(pool_output(2, 3, 2, 0, 1, true).unwrap(), 1);
    }

    #[test]
    fn what_has_no_output_size_says_why() {
        let conv = |kernel, stride, padding, dilation| conv_output(4, kernel, stride, padding, dilation).unwrap_err();
        assert_eq!(conv(0, 1, 0, 1).to_string(), "kernel: is 0, must be at least 1");
        assert_eq!(conv(3, 0, 0, 1).to_string(), "stride: is 0, must be at least 1");
        assert_eq!(conv(3, 1, 0, 0).to_string(), "dilation: is 0, must be at least 1");
        assert_eq!(conv(3, 1, 1, 3).to_string(), "kernel: spans 7, more than the padded input of 5");
        assert!(conv(3, 1, 0, usize::MAX).to_string().contains("dilation"));
        assert!(conv(3, 1, usize::MAX, 1).to_string().contains("padding"));
        for ceil_mode in [false, true] {
            let pool = |kernel, stride| pool_output(2, kernel, stride, 0, 1, ceil_mode).unwrap_err().to_string();
            assert_eq!(pool(0, 1), "kernel: is 0, must be at least 1");
            assert_eq!(pool(2, 0), "stride: is 0, must be at least 1");
            assert_eq!(pool(4, 2), "kernel: spans 4, more than the padded input of 2");
            assert!(pool_output(2, 2, 1, usize::MAX, 1, ceil_mode).is_err());
        }
    }
}
