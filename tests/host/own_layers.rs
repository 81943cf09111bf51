//! Layers without parameters as a network uses them, and the first values of the models, counted.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::models::{ResNet, Vgg};
use tilegrad::nn::{Conv2d, Identity, LogSoftmax, Module, Sequential, Upsample, ZeroPad2d};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, Engine};

/// The lines of a summary by words.
fn lines(model: &dyn Module, size: ImageSize) -> Vec<Vec<String>> {
    let text = tilegrad::nn::Summary::new(model, size).unwrap().to_string();
    text.lines().map(|line| line.split_whitespace().map(String::from).collect()).collect()
}

#[test]
fn padding_upsampling_and_the_rest_have_their_lines() {
    let model = Sequential::new()
        .with("pad", ZeroPad2d::new(2))
        .with("crop", ZeroPad2d([-1, 0, 3, -1]))
        .with("up", Upsample::new(2))
        .with("wide", Upsample([1, 3]))
        .with("nothing", Identity)
        .with("leaky", Activation::LEAKY_RELU)
        .with("gelu", Activation::Gelu(Approximate::None))
        .with("silu", Activation::Silu)
        .with("conv", Conv2d::new(3, 4, 3).padding(1))
        .with("classes", LogSoftmax);
    let lines = lines(&model, ImageSize::new(5, 6, 3));
    let expected = [
        ["pad", "zero_pad2d", "-", "[3,9,10]", "0", "0", "1"],
        ["crop", "zero_pad2d", "-", "[3,8,12]", "0", "0", "1"],
        ["up", "upsample", "-", "[3,16,24]", "0", "0", "1"],
        ["wide", "upsample", "-", "[3,16,72]", "0", "0", "1"],
        ["leaky", "leaky_relu", "-", "[3,16,72]", "0", "0", "1"],
        ["gelu", "gelu", "-", "[3,16,72]", "0", "0", "1"],
        ["silu", "silu", "-", "[3,16,72]", "0", "0", "1"],
        // Three rows of the enlarged image are two of the input's, or one; of the columns, six to a pixel, as well.
        ["conv", "conv2d", "3/1/1", "[4,16,72]", "112", "124416", "2"],
        ["classes", "log_softmax", "-", "[4,16,72]", "0", "0", "2"],
    ];
    assert_eq!(lines[1..=expected.len()], expected);

    let refused = |name: &str, module: &dyn Module| {
        let mut tape = Tape::new(Purpose::Evaluate);
        let image = tape.input("image", Spec::f32([1, 1, 2, 2])).unwrap();
        tape.scoped(name, |tape| module.forward(tape, image)).unwrap_err().to_string()
    };
    let error = refused("decoder.up", &Upsample::new(0));
    assert!(error.contains("decoder.up") && error.contains("scale_factor"), "{error}");
    let error = refused("pad", &ZeroPad2d::new(-1));
    assert!(error.contains("\"pad\"") && error.contains("padding"), "{error}");
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    (mean, square.sqrt())
}

/// torchvision fills every convolution by kaiming_normal_(mode="fan_out"); VGG's linear layers by N(0, 0.01) and zeros; a
/// ResNet's last layer is PyTorch's default, and a batch norm one and zero.
#[test]
fn first_values_are_spread_as_torchvisions() {
    let (resnet, vgg) = (ResNet::resnet18(100).cifar(), Vgg::vgg11(100).batch_norm(true).width(16));
    let models: [(&dyn Module, usize, bool); 2] = [(&resnet, 32, false), (&vgg, 64, true)];
    for (model, extent, vgg) in models {
        let mut tape = Tape::new(Purpose::Train);
        let input = tape.input("images", Spec::f32([2, 3, extent, extent])).unwrap();
        model.forward(&mut tape, input).unwrap();
        let mut engine = CpuEngine::new();
        engine.initialise(&tape, 5).unwrap();
        let mut convolutions = 0;
        for id in tape.parameters() {
            let (name, dims) = (&tape.tensor(id).name, tape.shape(id).dims());
            let values = engine.parameter(name).unwrap();
            let (count, weight) = (values.len() as f64, name.ends_with("weight"));
            let (mean, deviation) = moments(&values);
            // Standard deviation that is expected; 0 for constants.
            let (expected, constant) = match dims {
                &[out, _, h, w] => {
                    convolutions += 1;
                    ((2.0 / (out * h * w) as f64).sqrt(), 0.0)
                }
                [_, _] if vgg => (0.01, 0.0),
                &[_, fan_in] => (1.0 / (3.0 * fan_in as f64).sqrt(), 0.0),
                _ if name == "fc.bias" => (1.0 / (3.0 * 512.0_f64).sqrt(), 0.0),
                _ => (0.0, f64::from(u8::from(weight))),
            };
            if expected == 0.0 {
                assert!(values.iter().all(|&v| f64::from(v) == constant), "{name} is {constant}");
                continue;
            }
            // Five standard errors.
            let room = 5.0 * expected / count.sqrt();
            assert!(mean.abs() <= room, "{name}: mean {mean}");
            assert!((deviation - expected).abs() <= room, "{name}: deviation {deviation}, expected {expected}");
        }
        assert_eq!(convolutions, if vgg { 8 } else { 20 });
    }
}
