//! The models of the library against torchvision's: parameter counts, names, shapes, multiply-adds.

use tilegrad::graph::{Purpose, Role, Spec, Tape, TensorId};
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::nn::{
    BatchNorm2d, Conv2d, Dropout, Flatten, Freeze, Layer, Linear, Module, Sequential, Summary, WeightInit,
};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{ImageSize, Window};

const IMAGENET: ImageSize = ImageSize::new(224, 224, 3);
const CIFAR: ImageSize = ImageSize::new(32, 32, 3);

fn tape(model: &dyn Module, size: ImageSize) -> Tape {
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32(size.nchw(1))).unwrap();
    let output = model.forward(&mut tape, input).unwrap();
    tape.keep(output);
    tape
}

/// Parameters with 1000 classes, and billions of multiply-adds of one image of 224x224, as torchvision's documentation
/// lists them.
#[test]
fn parameters_and_multiply_adds_are_torchvisions() {
    let counted: [(&str, &dyn Module, usize, f64); 12] = [
        ("vgg11", &Vgg::vgg11(1000), 132_863_336, 7.61),
        ("vgg13", &Vgg::vgg13(1000), 133_047_848, 11.31),
        ("vgg16", &Vgg::vgg16(1000), 138_357_544, 15.47),
        ("vgg19", &Vgg::vgg19(1000), 143_667_240, 19.63),
        ("vgg11_bn", &Vgg::vgg11(1000).batch_norm(true), 132_868_840, 7.61),
        ("vgg13_bn", &Vgg::vgg13(1000).batch_norm(true), 133_053_736, 11.31),
        ("vgg16_bn", &Vgg::vgg16(1000).batch_norm(true), 138_365_992, 15.47),
        ("vgg19_bn", &Vgg::vgg19(1000).batch_norm(true), 143_678_248, 19.63),
        ("resnet18", &ResNet::resnet18(1000), 11_689_512, 1.81),
        ("resnet34", &ResNet::resnet34(1000), 21_797_672, 3.66),
        ("resnet50", &ResNet::resnet50(1000), 25_557_032, 4.09),
        ("resnet101", &ResNet::resnet101(1000), 44_549_160, 7.80),
    ];
    for (name, model, parameters, billions) in counted {
        let summary = Summary::new(model, IMAGENET).unwrap();
        assert_eq!(summary.parameters, parameters, "{name}");
        assert_eq!((summary.multiply_adds as f64 / 1e7).round() / 100.0, billions, "{name}");
    }
    let resnet = ResNet::resnet18(10).cifar().summary(CIFAR).unwrap();
    assert_eq!((resnet.parameters, resnet.multiply_adds / 1_000_000), (11_173_962, 555));
    assert_eq!(Vgg::vgg16(10).batch_norm(true).cifar().summary(CIFAR).unwrap().parameters, 14_728_266);
    assert_eq!(LeNet5::new(10).summary(ImageSize::new(28, 28, 1)).unwrap().parameters, 61_706);
    // A quarter of the width is about a sixteenth of the parameters.
    let narrow = ResNet::resnet18(10).cifar().width(16).summary(CIFAR).unwrap();
    assert_eq!(narrow.parameters, 701_466);
}

#[test]
fn names_are_torchvisions() {
    let names = |tape: &Tape| -> Vec<String> {
        let all = tape.parameters().into_iter().chain(tape.buffers());
        all.map(|id| tape.tensor(id).name.clone()).collect()
    };
    let resnet = names(&tape(&ResNet::resnet18(1000), IMAGENET));
    assert_eq!(resnet.len(), 122, "as many as torchvision's state_dict");
    for name in [
        "conv1.weight",
        "bn1.weight",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
        "layer1.1.bn2.running_var",
        "layer2.0.downsample.0.weight",
        "layer4.0.downsample.1.running_mean",
        "fc.bias",
    ] {
        assert!(resnet.iter().any(|other| other == name), "{name} in {resnet:?}");
    }
    let deep = names(&tape(&ResNet::resnet50(1000), IMAGENET));
    assert_eq!(deep.len(), 320);
    assert!(
        deep.iter().any(|name| name == "layer1.0.downsample.0.weight")
            && deep.iter().any(|n| n == "layer3.5.conv3.weight")
    );
    let numbered = |model: Vgg, first: &str| -> Vec<usize> {
        let names = names(&tape(&model, IMAGENET));
        let number = |name: &String| name.strip_prefix("features.")?.strip_suffix(first)?.parse().ok();
        names.iter().filter_map(number).collect()
    };
    assert_eq!(numbered(Vgg::vgg11(10), ".weight"), [0, 3, 6, 8, 11, 13, 16, 18]);
    assert_eq!(numbered(Vgg::vgg16(10), ".weight"), [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
    assert_eq!(numbered(Vgg::vgg11(10).batch_norm(true), ".running_var"), [1, 5, 9, 12, 16, 19, 23, 26]);
    let vgg = names(&tape(&Vgg::vgg16(10), IMAGENET));
    assert!(
        ["classifier.0.weight", "classifier.3.bias", "classifier.6.weight"].iter().all(|n| vgg.iter().any(|v| v == n))
    );
}

#[test]
fn first_values_are_torchvisions() {
    let init = |tape: &Tape, name: &str| match tape.tensor(tape.find_parameter(name).unwrap()).role {
        Role::Parameter { init, .. } => init,
        ref other => panic!("{other:?}"),
    };
    let resnet = tape(&ResNet::resnet18(1000), IMAGENET);
    assert_eq!(init(&resnet, "conv1.weight"), Init::Normal((2.0_f32 / (64.0 * 49.0)).sqrt()));
    assert_eq!(init(&resnet, "layer2.0.bn1.weight"), Init::Constant(1.0));
    assert_eq!(init(&resnet, "fc.weight"), Init::Uniform(1.0 / 512.0_f32.sqrt()));
    let vgg = tape(&Vgg::vgg16(10), IMAGENET);
    assert_eq!(init(&vgg, "features.28.weight"), Init::Normal((2.0_f32 / (512.0 * 9.0)).sqrt()));
    assert_eq!(init(&vgg, "features.28.bias"), Init::Constant(0.0));
    assert_eq!(init(&vgg, "classifier.6.weight"), Init::Normal(0.01));
}

/// A network of one's own is as short, and its summary shows every layer.
#[test]
fn a_summary_shows_layers_shapes_parameters_and_multiply_adds() {
    let model = Sequential::new()
        .then(Conv2d::new(3, 8, 3).padding(1).init(WeightInit::KaimingNormal).bias(false))
        .then(BatchNorm2d::new(8))
        .then(Flatten)
        .then(Linear::new(8 * 4 * 4, 5));
    let text = model.summary(ImageSize::new(4, 4, 3)).unwrap().to_string();
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
        line.split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(line("0 "), ["0", "conv2d", "3/1/1", "[8,4,4]", "216", "3456", "3"]);
    assert_eq!(line("1 "), ["1", "batch_norm2d", "-", "[8,4,4]", "16", "0", "3"]);
    assert_eq!(line("3 "), ["3", "linear", "-", "[5]", "645", "640", "6"]);
    assert_eq!(line("total"), ["total", "877", "4096"]);
}

fn layer<'a>(summary: &'a Summary, name: &str) -> &'a Layer {
    let found = summary.layers.iter().find(|layer| layer.name == name);
    found.unwrap_or_else(|| panic!("{name} in\n{summary}"))
}

/// By hand: 5, and 1 more for the pooling; 4 times 2 more, and 2 for the second pooling; then all 5x5 at distance 4.
#[test]
fn a_summary_of_lenet_has_every_layer_and_fits_a_terminal() {
    let summary = LeNet5::new(10).summary(ImageSize::new(28, 28, 1)).unwrap();
    let fields: Vec<(&str, usize)> =
        summary.layers.iter().map(|layer| (layer.name.as_str(), layer.receptive_field[0])).collect();
    let expected = [
        ("conv1", 5),
        ("act1", 5),
        ("pool1", 6),
        ("conv2", 14),
        ("act2", 14),
        ("pool2", 16),
        ("flatten", 16),
        ("fc1", 32),
        ("act3", 32),
        ("fc2", 32),
        ("act4", 32),
        ("fc3", 32),
    ];
    assert_eq!(fields, expected);
    let window = Window { kernel: [2; 2], stride: [2; 2], padding: [0; 4], dilation: [1; 2] };
    assert_eq!(layer(&summary, "pool1").window, Some(window));
    let text = summary.to_string();
    assert!(text.contains("conv1   conv2d     5/1/2 [6,28,28]     156   117600     5"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// By hand: 7, 11 after the pooling, then 43, 99, 211 and 435 after the stages. Each has four convolutions of 3x3 on its
/// longer branch, the first of them still at the distance of the stage before.
#[test]
fn a_summary_of_resnet_follows_both_branches_and_fits_a_terminal() {
    let summary = ResNet::resnet18(1000).summary(IMAGENET).unwrap();
    let field = |name: &str| layer(&summary, name).receptive_field;
    assert_eq!((field("conv1"), field("maxpool"), field("layer1.0.add")), ([7; 2], [11; 2], [27; 2]));
    assert_eq!((field("layer2.0.downsample.1"), field("layer2.0.add")), ([43; 2], [67; 2]));
    assert_eq!((field("layer4.1.relu"), field("avgpool")), ([435; 2], [435 + 6 * 32; 2]));
    for kind in ["add", "relu", "batch_norm2d", "max_pool2d", "adaptive_avg_pool2d", "flatten", "linear"] {
        assert!(summary.layers.iter().any(|layer| layer.operation == kind), "{kind}");
    }
    let text = summary.to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("conv1                 conv2d       7/2/3 [64,112,112]"), "{text}");
}

/// What differs between training and evaluation has its line too, and a batch norm of one pixel is no error.
#[test]
fn a_summary_shows_dropout_and_small_images() {
    struct Both;
    impl Module for Both {
        fn forward(&self, tape: &mut Tape, input: TensorId) -> tilegrad::Result<TensorId> {
            let near = Conv2d::new(2, 3, 1).apply(tape, "near", input)?;
            let far = Conv2d::new(2, 3, 3).kernel([3, 1]).attributes(FAR).apply(tape, "far", input)?;
            tape.concat("both", &[near, far])
        }
    }
    const FAR: Conv2dAttributes =
        Conv2dAttributes { stride: [1, 1], padding: [2, 2, 0, 0], dilation: [2, 1], groups: 1 };
    let model = Sequential::new().with("branches", Both).with("bn", BatchNorm2d::new(6)).with("drop", Dropout(0.5));
    let summary = model.summary(ImageSize::new(1, 1, 2)).unwrap();
    let line = |name: &str| {
        let text = summary.to_string();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
        line.split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(line("branches.far"), ["branches.far", "conv2d", "3x1/1/2x0/2x1", "[3,1,1]", "21", "18", "5x1"]);
    assert_eq!(line("branches.both"), ["branches.both", "concat", "-", "[6,1,1]", "0", "0", "5x1"]);
    assert_eq!(line("drop"), ["drop", "dropout", "-", "[6,1,1]", "0", "0", "5x1"]);
}

#[test]
fn a_frozen_model_has_gradients_for_nothing_but_what_is_named() {
    let model = Freeze::all_but(ResNet::resnet18(10).cifar().width(4), |name| name.starts_with("fc."));
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([2, 3, 32, 32])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    let logits = model.forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap().loss;
    Sgd::new(0.1).minimize(&mut tape, loss).unwrap();
    let mut names: Vec<_> = tape.gradients().iter().map(|(of, _)| tape.tensor(*of).name.clone()).collect();
    names.sort();
    assert_eq!(names, ["fc.bias", "fc.weight"]);
    assert!(!tape.nodes().iter().any(|node| node.op.name().starts_with("conv2d_grad")), "no gradient below fc");
}
