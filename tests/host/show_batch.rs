//! The next batch as the network sees it, and that looking at it changes nothing.

use tilegrad::data::{Augmentation, BatchSource, DatasetSource, Normalisation, ResidentSource, shapes};
use tilegrad::nn::{BatchNorm2d, Conv2d, Flatten, Linear, Sequential};
use tilegrad::ops::mixup::Mixup;
use tilegrad::optim::Sgd;
use tilegrad::train::{CpuEngine, CrossEntropyLoss, TrainOptions, Trainer};

use crate::common::augmentations::each;

fn trainer(source: &dyn BatchSource, mixup: Option<Mixup>) -> Trainer {
    let model = Sequential::new()
        .with("conv", Conv2d::new(3, 2, 5).stride(4))
        .with("bn", BatchNorm2d::new(2))
        .with("flatten", Flatten)
        .with("fc", Linear::new(2 * 7 * 7, 10));
    let options = TrainOptions::default().epochs(2).batch_size(16).seed(3);
    let loss = CrossEntropyLoss::default().mixup(mixup);
    Trainer::with_loss(model, loss, Sgd::new(0.01).momentum(0.9), CpuEngine::new(), options, source).unwrap()
}

#[test]
fn the_batch_is_augmented_and_mixed_and_the_run_goes_on_as_without_it() {
    let set = shapes::shapes(1, 40);
    let mut none = ResidentSource::new("none", set.subset(&[]));
    for augmentation in [Augmentation::default(), each().pop().unwrap().1] {
        let resident =
            || ResidentSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augmentation);
        let streamed =
            || DatasetSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augmentation);
        for mixup in [None, Some(Mixup { alpha: 0.4 })] {
            let expected = trainer(&resident(), mixup).fit(&mut resident(), &mut none).unwrap().losses;
            let sources: [Box<dyn BatchSource>; 2] = [Box::new(resident()), Box::new(streamed())];
            let seen = sources.map(|mut source| {
                let mut trainer = trainer(&*source, mixup);
                let seen = trainer.next_batch(&mut *source).unwrap();
                assert_eq!(trainer.next_batch(&mut *source).unwrap(), seen);
                assert_eq!(trainer.fit(&mut *source, &mut none).unwrap().losses, expected);
                seen
            });
            assert_eq!(seen[0], seen[1]);
            let seen = &seen[0];
            assert_eq!((seen.indices.len(), seen.shape.as_slice()), (16, &[16, 3, 32, 32][..]));
            let labels: Vec<i32> = seen.indices.iter().map(|&i| set.labels[i as usize]).collect();
            assert_eq!(seen.labels, labels);
            // The first image without its normalisation, where nothing has changed it.
            let Normalisation { scale, shift } = Normalisation::CIFAR10;
            let plain = set.image(seen.indices[0] as usize);
            let same = (0..32 * 32).all(|i| {
                (0..3).all(|c| {
                    (seen.values[c * 1024 + i] - (f32::from(plain[3 * i + c]) * scale[c] + shift[c])).abs() < 1e-5
                })
            });
            assert_eq!(same, augmentation == Augmentation::default() && mixup.is_none());
        }
    }
}
