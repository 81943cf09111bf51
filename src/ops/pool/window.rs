//! The window of a pooling: its output extents, the params of its kernels, and their dispatches.

use crate::graph::Misfit;
use crate::kernel::{Candidate, Dispatch, Extent, Kernel, Lowering, Source, Tensors, source};
use crate::ops::pool::together;
use crate::ops::{nchw, positive};
use crate::params;
use crate::shape::pool_output;
use crate::tensor::Tensor;

/// A window that slides over height and width, from the attributes of a pooling.
#[derive(Clone, Copy)]
pub(crate) struct PoolWindow {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub ceil_mode: bool,
}

params! {
    /// Extents and window of a pooling. The last two are for an average; a divisor_override of 0 is none.
    pub(crate) struct Params {
        batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32,
        kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
        dilation_h: u32, dilation_w: u32,
        count_include_pad: u32, divisor_override: u32,
    }
}

impl PoolWindow {
    /// Checks the window, and returns the extents of the output for this input.
    pub fn output(&self, input: &Tensor) -> Result<[usize; 4], Misfit> {
        let PoolWindow { kernel, stride, padding, dilation, ceil_mode } = *self;
        let [n, c, h, w] = nchw(input, "input")?;
        positive("kernel", kernel)?;
        positive("stride", stride)?;
        positive("dilation", dilation)?;
        if padding[0] > kernel[0] / 2 || padding[1] > kernel[1] / 2 {
            return Err(Misfit::Attribute(format!("padding {padding:?} must be at most half the kernel {kernel:?}")));
        }
        let extent = |size, axis: usize| {
            pool_output(size, kernel[axis], stride[axis], padding[axis], dilation[axis], ceil_mode).map_err(|_| {
                Misfit::Shape(format!("the dilated kernel {kernel:?} is larger than the padded input {}", input.shape))
            })
        };
        Ok([n, c, extent(h, 0)?, extent(w, 1)?])
    }

    /// True if windows do not overlap and have no gaps, so that each can be handled separately.
    pub fn side_by_side(&self) -> bool {
        self.kernel == self.stride && self.padding == [0; 2] && self.dilation == [1; 2]
    }

    /// Number of elements of a window.
    pub fn taps(&self) -> u32 {
        (self.kernel[0] * self.kernel[1]) as u32
    }

    /// Maximum number of windows that contain one position.
    fn over_a_place(&self) -> u32 {
        let along = |axis: usize| (self.kernel[axis] - 1) * self.dilation[axis] / self.stride[axis] + 1;
        (along(0) * along(1)) as u32
    }

    /// Params of the window between these extents of the pooling's input and output.
    pub fn params(&self, input: [u32; 4], output: [u32; 4]) -> Params {
        let [kernel_h, kernel_w] = self.kernel.map(|extent| extent as u32);
        let [stride_h, stride_w] = self.stride.map(|stride| stride as u32);
        let [pad_h, pad_w] = self.padding.map(|padding| padding as u32);
        let [dilation_h, dilation_w] = self.dilation.map(|dilation| dilation as u32);
        let ([batch, channels, in_h, in_w], [_, _, out_h, out_w]) = (input, output);
        Params {
            batch,
            channels,
            in_h,
            in_w,
            out_h,
            out_w,
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
            dilation_h,
            dilation_w,
            ..Params::default()
        }
    }

    /// Candidates of a pooling's gradient: `windows`, if windows lie side by side, whose invocations own elements of
    /// the pooling's output; and `direct`, whose invocations own elements of its input and search the windows that
    /// contain them. Each is a kernel's name and main file, linked with `shared`; `bind` binds the tensors to a
    /// dispatch.
    pub fn grad_candidates<'a>(
        &self,
        tensors: &Tensors<'_>,
        params: Params,
        [windows, direct]: [(&'static str, Source); 2],
        shared: Source,
        bind: impl Fn(&Lowering<'_>, Dispatch) -> Dispatch + Copy + 'a,
    ) -> Vec<Candidate<'a>> {
        let [input, output] = [tensors.output_dims(0), tensors.input_dims(0)];
        let candidate = |name, (kernel, file), owned, elements| {
            Candidate::new(name, move |lowering| {
                let files = [file, shared, source!("pool/window.wgsl"), source!("pool/place.wgsl")];
                let dispatch = params.dispatch(kernel, &files, owned).elements(elements);
                lowering.push(bind(lowering, dispatch));
                Ok(())
            })
        };
        let windows = self.side_by_side().then(|| candidate("windows", windows, output, self.taps()));
        windows.into_iter().chain([candidate("direct", direct, input, self.over_a_place())]).collect()
    }
}

impl Params {
    /// Creates the dispatch of a kernel whose invocations own the elements of a tensor of these extents, each as many
    /// channels as their number allows.
    pub fn dispatch(&self, name: &'static str, files: &[Source], owned: [u32; 4]) -> Dispatch {
        let each = together(self.channels);
        let every = [source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new(name, files).with(&every).elements(each).constant("WG", 64);
        let len: u64 = owned.iter().map(|&extent| u64::from(extent)).product();
        let params = Params { channels: self.channels / each, ..*self };
        Dispatch::new(kernel, &params, Extent::Invocations(len / u64::from(each)))
    }
}
