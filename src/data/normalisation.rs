//! Conversion of bytes to numbers, channel by channel.

use super::ImageSet;

/// Conversion of a byte of each channel to a number, `scale * byte + shift`. Channels from the fourth on share the last
/// entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Factor for a byte.
    pub scale: [f32; 4],
    /// Offset added to the product.
    pub shift: [f32; 4],
}

impl Default for Normalisation {
    /// Converts bytes to 0..1.
    fn default() -> Self {
        Normalisation { scale: [1.0 / 255.0; 4], shift: [0.0; 4] }
    }
}

impl Normalisation {
    /// Normalisation for MNIST, with the mean and standard deviation of its training images that PyTorch's examples
    /// use.
    pub const MNIST: Self = Self::new([0.1307; 3], [0.3081; 3]);
    /// Normalisation for Fashion-MNIST, with the statistics of its training images.
    pub const FASHION_MNIST: Self = Self::new([0.2860; 3], [0.3530; 3]);
    /// Normalisation for CIFAR-10, with the mean and standard deviation that its published recipes use.
    pub const CIFAR10: Self = Self::new([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]);
    /// Normalisation for CIFAR-100, with the statistics of its training images.
    pub const CIFAR100: Self = Self::new([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]);
    /// Normalisation for ImageNet, and for models trained on it.
    pub const IMAGENET: Self = Self::new([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

    /// Equals torchvision's `ToTensor` and `Normalize(mean, std)`: (byte / 255 - mean) / std of red, green and blue.
    pub const fn new(mean: [f64; 3], std: [f64; 3]) -> Self {
        let (mut scale, mut shift) = ([0.0; 4], [0.0; 4]);
        let mut i = 0;
        while i < 4 {
            let channel = if i < 3 { i } else { 2 };
            scale[i] = (1.0 / (255.0 * std[channel])) as f32;
            shift[i] = (-mean[channel] / std[channel]) as f32;
            i += 1;
        }
        Normalisation { scale, shift }
    }

    /// Measures the normalisation to mean 0 and standard deviation 1 in each channel over `images`, which should be the
    /// training images alone. More than four channels share one mean and one deviation.
    pub fn of(images: &ImageSet) -> Self {
        let groups = if images.channels <= 4 { images.channels.max(1) } else { 1 };
        let (mut sums, mut squares) = ([0_u64; 4], [0_u64; 4]);
        for pixel in images.images.chunks_exact(groups) {
            for (channel, &byte) in pixel.iter().enumerate() {
                sums[channel] += u64::from(byte);
                squares[channel] += u64::from(byte).pow(2);
            }
        }
        let count = (images.images.len() / groups).max(1) as u64;
        let (mut scale, mut shift) = ([0.0; 4], [0.0; 4]);
        for i in 0..4 {
            let channel = i.min(groups - 1);
            let mean = sums[channel] as f64 / count as f64;
            // Integers avoid cancellation: count^2 times the variance.
            let spread = u128::from(count) * u128::from(squares[channel]) - u128::from(sums[channel]).pow(2);
            // Images of a single shade have no spread to divide by.
            let std = if spread > 0 { (spread as f64).sqrt() / count as f64 } else { 1.0 };
            scale[i] = (1.0 / std) as f32;
            shift[i] = (-mean / std) as f32;
        }
        Normalisation { scale, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ImageSize;

    /// Mean and standard deviation of a channel after the normalisation.
    fn moments(set: &ImageSet, normalisation: &Normalisation, channel: usize) -> (f64, f64) {
        let i = channel.min(3);
        let [scale, shift] = [normalisation.scale[i], normalisation.shift[i]].map(f64::from);
        let bytes = set.images.iter().skip(channel).step_by(set.channels);
        let values: Vec<f64> = bytes.map(|&byte| f64::from(byte) * scale + shift).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, square.sqrt())
    }

    fn set(channels: usize) -> ImageSet {
        let bytes = 0..5 * 7 * 3 * channels as u32;
        let images = bytes.map(|i| (i * i % 83 + (i % channels as u32) * 40) as u8).collect();
        ImageSet::new(images, vec![0; 3], ImageSize::new(5, 7, channels), 1).unwrap()
    }

    #[test]
    fn every_channel_comes_to_mean_0_and_deviation_1() {
        for channels in 1..=4 {
            let set = set(channels);
            let normalisation = Normalisation::of(&set);
            for channel in 0..channels {
                let (mean, std) = moments(&set, &normalisation, channel);
                assert!(mean.abs() < 1e-5 && (std - 1.0).abs() < 1e-5, "{channel} of {channels}: {mean}, {std}");
            }
        }
        let many = Normalisation::of(&set(6));
        assert!(many.scale.iter().all(|&scale| scale == many.scale[0]), "{many:?}");
        assert!(many.shift.iter().all(|&shift| shift == many.shift[0]), "{many:?}");
    }

    #[test]
    fn one_shade_is_brought_to_0() {
        let set = ImageSet::new(vec![9; 12], vec![0; 3], ImageSize::new(2, 2, 1), 1).unwrap();
        let normalisation = Normalisation::of(&set);
        assert_eq!((normalisation.scale[0], normalisation.shift[0]), (1.0, -9.0));
        let none = ImageSet::new(Vec::new(), Vec::new(), ImageSize::new(2, 2, 3), 1).unwrap();
        assert!(Normalisation::of(&none).scale.iter().all(|scale| scale.is_finite()));
    }

    #[test]
    fn constants_are_torchvisions() {
        for (normalisation, mean, std) in [
            (Normalisation::MNIST, [0.1307; 3], [0.3081; 3]),
            (Normalisation::FASHION_MNIST, [0.2860; 3], [0.3530; 3]),
            (Normalisation::CIFAR100, [0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
            (Normalisation::CIFAR10, [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            (Normalisation::IMAGENET, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ] {
            for (channel, byte) in [(0, 0_u8), (1, 255), (2, 100)] {
                let expected = (f64::from(byte) / 255.0 - mean[channel]) / std[channel];
                let actual = f32::from(byte) * normalisation.scale[channel] + normalisation.shift[channel];
                assert!((f64::from(actual) - expected).abs() < 1e-6, "{actual} for {expected}");
            }
        }
    }
}
