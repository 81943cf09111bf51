//! Shapes in PyTorch's order, where their elements lie in memory, and the output sizes of convolution and pooling.

use std::fmt;

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
    /// For each axis of memory, outermost first, the logical axis that it is.
    fn axes(self) -> [usize; 4] {
        match self {
            Layout::RowMajor => [0, 1, 2, 3],
            Layout::ChannelsLast => [0, 2, 3, 1],
            Layout::Hwio => [2, 3, 1, 0],
        }
    }

    /// For each place in memory, in order, the index of its element in PyTorch's order.
    fn order(self, shape: &Shape) -> Option<impl Iterator<Item = usize>> {
        let dims = shape.nchw().filter(|_| self != Layout::RowMajor)?;
        // Of one channel, or of one pixel, both orders are the same.
        if self == Layout::ChannelsLast && (dims[1] == 1 || dims[2] * dims[3] == 1) {
            return None;
        }
        let strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
        let axes = self.axes();
        let extent = axes.map(|a| dims[a]);
        let stride = axes.map(|a| strides[a]);
        Some((0..shape.len()).map(move |mut place| {
            let mut index = 0;
            for axis in (0..4).rev() {
                index += place % extent[axis] * stride[axis];
                place /= extent[axis];
            }
            index
        }))
    }

    /// Elements in PyTorch's order, brought into the order of memory.
    pub fn to_memory<T: Copy>(self, shape: &Shape, values: &[T]) -> Vec<T> {
        match self.order(shape) {
            None => values.to_vec(),
            Some(order) => order.map(|i| values[i]).collect(),
        }
    }

    /// Elements in the order of memory, brought into PyTorch's order.
    pub fn to_logical<T: Copy + Default>(self, shape: &Shape, memory: &[T]) -> Vec<T> {
        match self.order(shape) {
            None => memory.to_vec(),
            Some(order) => {
                let mut values = vec![T::default(); memory.len()];
                for (i, &value) in order.zip(memory) {
                    values[i] = value;
                }
                values
            }
        }
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
