//! conv2d with the partial statistics of its output.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::batch_norm2d::CHUNK;
use crate::ops::conv2d_statistics::Conv2dStatistics;

impl Twin for Conv2dStatistics {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        R::eval(&self.0, inputs, outputs);
        let [n, channels, h, w] = inputs.output_nchw(0);
        let (rows, plane) = (n * h * w, h * w);
        let output = outputs.real(0).to_vec();
        let partials = outputs.real(1);
        for (chunk, of_chunk) in partials.chunks_mut(2 * channels).enumerate() {
            let rows = chunk * CHUNK..rows.min((chunk + 1) * CHUNK);
            for c in 0..channels {
                let value = |row: usize| output[(row / plane * channels + c) * plane + row % plane];
                let mean = R::of(rows.clone().map(|row| value(row).to_f64()).sum::<f64>() / rows.len() as f64);
                let deviation = |row: usize| (value(row) - mean).to_f64();
                of_chunk[c] = mean;
                of_chunk[channels + c] = R::of(rows.clone().map(|row| deviation(row) * deviation(row)).sum());
            }
        }
    }
}
