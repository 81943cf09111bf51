//! Data sets that can be downloaded by name: the addresses and digests of their files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::archive::unpack;
use super::fetch::{DownloadProgress, Mirrored, fetch};
use crate::data::{Normalisation, cifar};
use crate::error::{Error, Result};

/// A data set that [`download`](Self::download) can download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// 70,000 digits, 28x28 gray: 12 MB.
    Mnist,
    /// 70,000 pieces of clothing, 28x28 gray: 31 MB.
    FashionMnist,
    /// 60,000 photographs of 10 classes, 32x32 in colour: 170 MB.
    Cifar10,
    /// 60,000 photographs of 100 classes, 32x32 in colour: 169 MB.
    Cifar100,
}

/// The files of MNIST with their SHA-256. The digests of the test files were computed from the files. The others are
/// published alike by many independent projects, the catalogue of TensorFlow Datasets among them.
const MNIST: [[&str; 2]; 4] = [
    ["train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"],
    ["train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"],
    ["t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"],
    ["t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"],
];
const FASHION_MNIST: [[&str; 2]; 4] = [
    ["train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"],
    ["train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"],
    ["t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"],
    ["t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"],
];
const CIFAR10: [[&str; 2]; 1] =
    [["cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"]];
const CIFAR100: [[&str; 2]; 1] =
    [["cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"]];

const MNIST_MIRRORS: &[&str] =
    &["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"];
const FASHION_MIRRORS: &[&str] = &[
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
];
const CIFAR_MIRRORS: &[&str] = &["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"];

impl Known {
    /// All known data sets.
    pub const ALL: [Self; 4] = [Known::Mnist, Known::FashionMnist, Known::Cifar10, Known::Cifar100];

    /// Its name, which [`FromStr`] accepts and its folder has.
    pub fn name(self) -> &'static str {
        match self {
            Known::Mnist => "mnist",
            Known::FashionMnist => "fashion-mnist",
            Known::Cifar10 => "cifar10",
            Known::Cifar100 => "cifar100",
        }
    }

    /// Its usual normalisation.
    pub fn normalisation(self) -> Normalisation {
        match self {
            Known::Mnist => Normalisation::MNIST,
            Known::FashionMnist => Normalisation::FASHION_MNIST,
            Known::Cifar10 => Normalisation::CIFAR10,
            Known::Cifar100 => Normalisation::CIFAR100,
        }
    }

    /// Its files as published, with the addresses to try in order.
    pub fn files(self) -> Vec<Mirrored> {
        let (files, mirrors): (&[[&str; 2]], _) = match self {
            Known::Mnist => (&MNIST, MNIST_MIRRORS),
            Known::FashionMnist => (&FASHION_MNIST, FASHION_MIRRORS),
            Known::Cifar10 => (&CIFAR10, CIFAR_MIRRORS),
            Known::Cifar100 => (&CIFAR100, CIFAR_MIRRORS),
        };
        let file = |&[name, sha256]: &[&str; 2]| Mirrored {
            name: name.into(),
            sha256: sha256.into(),
            urls: mirrors.iter().map(|mirror| format!("{mirror}{name}")).collect(),
        };
        files.iter().map(file).collect()
    }

    /// For an archive, the folder in it and the files in that folder.
    fn archived(self) -> Option<(&'static str, Vec<String>)> {
        let strings = |names: &[&str]| names.iter().map(|name| String::from(*name)).collect();
        match self {
            Known::Mnist | Known::FashionMnist => None,
            Known::Cifar10 => {
                let mut names: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
                names.extend(strings(&["test_batch.bin", "batches.meta.txt"]));
                Some((cifar::FOLDER, names))
            }
            Known::Cifar100 => Some((cifar::FOLDER_100, strings(&["train.bin", "test.bin", "fine_label_names.txt"]))),
        }
    }

    /// Ensures that the data set is in the folder of its name in `dir`, and returns that folder for
    /// [`open`](crate::data::open).
    ///
    /// Existing files are not downloaded again: plain files must have the right SHA-256, and of an archive all files
    /// must be unpacked. Errors are those of [`fetch`] and [`unpack`].
    pub fn download(self, dir: &Path, progress: &mut dyn FnMut(DownloadProgress<'_>)) -> Result<PathBuf> {
        self.download_from(&self.files(), dir, progress)
    }

    /// Calls [`download`](Self::download) with custom addresses: the result of [`files`](Self::files) with other
    /// `urls`.
    pub fn download_from(
        self,
        files: &[Mirrored],
        dir: &Path,
        progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<PathBuf> {
        let dir = dir.join(self.name());
        let archived = self.archived();
        if let Some((folder, names)) = &archived
            && names.iter().all(|name| dir.join(folder).join(name).is_file())
        {
            return Ok(dir);
        }
        for file in files {
            let path = fetch(file, &dir, progress)?;
            if let Some((folder, names)) = &archived {
                unpack(&path, folder, names, &dir)?;
                std::fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        Ok(dir)
    }
}

impl FromStr for Known {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Known::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
            let names = Known::ALL.map(Known::name).join(", ");
            Error::config("data set", format!("\"{name}\" is none that can be fetched; there are {names}"))
        })
    }
}
