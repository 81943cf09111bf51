//! The one error type of the library: every message names the thing at fault and, where there is one, the way out.

use std::fmt;
use std::path::{Path, PathBuf};

/// What every fallible function of the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tape, plan, device, data set or run could not do what was asked.
///
/// `Debug` writes the message as `Display` does, with the causes that it does not name, so that a program whose
/// `main` returns [`Result`] ends with words.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that do not fit an operation.
    #[error("{op} \"{name}\": {message}")]
    Shape {
        /// The operation, by PyTorch's name.
        op: &'static str,
        /// The node's name on the tape.
        name: String,
        /// What does not fit, with the shapes.
        message: String,
        /// The two values at odds, where the message is of two.
        mismatch: Option<Box<Mismatch>>,
    },
    /// An attribute of an operation or layer outside its range.
    #[error("{op} \"{name}\": {message}")]
    Attribute {
        /// The operation, by PyTorch's name.
        op: &'static str,
        /// The node's name on the tape.
        name: String,
        /// The attribute, its value and the values allowed.
        message: String,
    },
    /// A setting (of an optimizer, a run, a data set) outside its range.
    #[error("{field}: {message}")]
    Config {
        /// The setting's name.
        field: String,
        /// Its value and the values allowed.
        message: String,
        /// The two values at odds, where the message is of two.
        mismatch: Option<Box<Mismatch>>,
    },
    /// A parameter, tensor or input that was asked for by a name that does not exist, or exists twice.
    #[error("\"{name}\": {message}")]
    Name {
        /// The name as asked for.
        name: String,
        /// What was looked in and what is there.
        message: String,
    },
    /// Something larger than the device allows.
    #[error("{what} needs {needed}, the device allows {allowed}; {hint}")]
    Limit {
        /// The tensor, kernel or buffer.
        what: String,
        /// What it needs, with its unit.
        needed: String,
        /// What the device allows, with its unit.
        allowed: String,
        /// The way out.
        hint: String,
        /// Both as bytes, where they are: expected is the most that is allowed, found is what was needed.
        mismatch: Option<Box<Mismatch>>,
    },
    /// No adapter fits the request.
    #[error("no GPU adapter: {tried}; {hint}")]
    NoAdapter {
        /// Which backends and names were tried, and what was found.
        tried: String,
        /// What to install or to ask for instead.
        hint: String,
    },
    /// The device went away (driver reset, removal, `destroy`). A session can be rebuilt from its plan and a host copy.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// The device has no room for a buffer.
    #[error("out of device memory: {0}; a smaller batch needs less")]
    OutOfMemory(String),
    /// wgpu or naga refused a kernel, buffer or dispatch: a defect of this library, please report it.
    #[error("validation: {0}")]
    Validation(String),
    /// A loss that is infinite or not a number, and the first tensor that went wrong.
    #[error("{0}")]
    NonFinite(NonFinite),
    /// A file of data, of weights or of a run whose content is not what it should be.
    #[error("{}: {message}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// The offset or field, what was expected and what was found.
        message: String,
        /// The two values at odds, where the message is of two.
        mismatch: Option<Box<Mismatch>>,
    },
    /// The operating system refused a file operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// An [`Error::Shape`] of the operation `op` for the node or tensor `name`.
    pub fn shape(op: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Shape { op, name: name.into(), message: message.into(), mismatch: None }
    }

    /// An [`Error::Limit`] for `what`, in words: what it needs, what the device allows, and the way out.
    pub fn limit(
        what: impl Into<String>,
        needed: impl Into<String>,
        allowed: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let [what, needed] = [what.into(), needed.into()];
        Error::Limit { what, needed, allowed: allowed.into(), hint: hint.into(), mismatch: None }
    }

    /// An [`Error::Limit`] for `what`, which takes `needed` bytes of the `allowed` bytes in what `place` names, and the way
    /// out.
    pub fn too_large(what: impl Into<String>, needed: u64, allowed: u64, place: &str, hint: impl Into<String>) -> Self {
        let [allowed, needed] = [allowed, needed].map(Quantity::Bytes);
        Error::limit(what, needed.to_string(), format!("{allowed} {place}"), hint).between(allowed, needed)
    }

    /// An [`Error::Config`] for `field`.
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Config { field: field.into(), message: message.into(), mismatch: None }
    }

    /// An [`Error::Name`] for `name`.
    pub fn name(name: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Name { name: name.into(), message: message.into() }
    }

    /// An [`Error::Data`] for the file at `path`.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_path_buf(), message: message.into(), mismatch: None }
    }

    /// An [`Error::Io`] for the file at `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// The same error with the two values that its message is of; one that has no place for them stays as it is.
    pub fn between(mut self, expected: impl Into<Quantity>, found: impl Into<Quantity>) -> Self {
        if let Error::Shape { mismatch, .. }
        | Error::Config { mismatch, .. }
        | Error::Limit { mismatch, .. }
        | Error::Data { mismatch, .. } = &mut self
        {
            *mismatch = Some(Box::new(Mismatch { expected: expected.into(), found: found.into() }));
        }
        self
    }

    /// What was expected and what was found, where the error is of two values and carries them.
    ///
    /// ```
    /// use tilegrad::data::ImageSet;
    /// use tilegrad::error::Quantity;
    /// use tilegrad::shape::ImageSize;
    ///
    /// let error = ImageSet::new(vec![0; 7], vec![1, 0], ImageSize::new(2, 2, 1), 2).unwrap_err();
    /// let mismatch = error.mismatch().unwrap();
    /// assert_eq!((&mismatch.expected, &mismatch.found), (&Quantity::Bytes(8), &Quantity::Bytes(7)));
    /// ```
    pub fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            Error::Shape { mismatch, .. }
            | Error::Config { mismatch, .. }
            | Error::Limit { mismatch, .. }
            | Error::Data { mismatch, .. } => mismatch.as_deref(),
            _ => None,
        }
    }
}

/// Two values that should agree and do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What was asked for, or the most that is allowed.
    pub expected: Quantity,
    /// What there is in its place.
    pub found: Quantity,
}

/// A value that an [`Error`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// The extents of a tensor in PyTorch's order; the number of values where only that is known.
    Extents(Vec<usize>),
    /// Rows, pixels in a row and channels of images.
    Image([usize; 3]),
    /// How many there are of something.
    Count(usize),
    /// Bytes.
    Bytes(u64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Extents(extents) => write!(f, "{extents:?}"),
            Quantity::Image([height, width, channels]) => write!(f, "{height}x{width}x{channels}"),
            Quantity::Count(count) => write!(f, "{count}"),
            Quantity::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}

impl From<usize> for Quantity {
    fn from(count: usize) -> Self {
        Quantity::Count(count)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.to_string();
        f.write_str(&said)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // Most messages quote what caused them.
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, "\ncaused by: {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Where numbers ceased to be finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The step, counted in batches from 1.
    pub step: usize,
    /// Its epoch, from 1.
    pub epoch: usize,
    /// Its learning rate.
    pub lr: f64,
    /// The loss that gave it away.
    pub loss: f32,
    /// The first tensor in the order of the step that holds an infinity or NaN; `None` if none was found.
    pub tensor: Option<Culprit>,
}

/// A tensor with numbers that are not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// What it is: "output of conv2d \"conv1\"", say.
    pub what: String,
    /// How many of its numbers are infinite or NaN.
    pub wrong: usize,
    /// How many it has.
    pub of: usize,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NonFinite { step, epoch, lr, loss, tensor } = self;
        write!(f, "training diverged in step {step} (epoch {epoch}, learning rate {lr:?}): ")?;
        match tensor {
            Some(Culprit { what, wrong, of }) => {
                write!(f, "the first tensor that is not finite is the {what}, {wrong} of its {of} numbers; ")?;
            }
            None => write!(f, "the loss was {loss}, and no tensor of the steps before is not finite; ")?,
        }
        write!(f, "a smaller learning rate, clipped gradients or a look at the data may help")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with a cause of its own.
    #[derive(Debug, thiserror::Error)]
    #[error("the disk is gone")]
    struct Gone(#[source] std::num::ParseIntError);

    #[test]
    fn debug_writes_the_message_and_the_causes_that_it_does_not_name() {
        let error = Error::config("lr", "is -1, must be at least 0");
        assert_eq!(format!("{error:?}"), "lr: is -1, must be at least 0");
        let missing = Error::io("a.bin", std::io::ErrorKind::NotFound.into());
        assert_eq!(format!("{missing:?}"), missing.to_string());
        let cause = "x".parse::<i32>().unwrap_err();
        let error = Error::io("a.bin", std::io::Error::other(Gone(cause)));
        assert_eq!(format!("{error:?}"), "a.bin: the disk is gone\ncaused by: invalid digit found in string");
    }

    #[test]
    fn an_error_of_two_values_carries_them() {
        let error = Error::too_large("tensor \"x\"", 300, 128, "in one binding", "use a smaller batch");
        let text = "tensor \"x\" needs 300 bytes, the device allows 128 bytes in one binding; use a smaller batch";
        assert_eq!(error.to_string(), text);
        let values = Mismatch { expected: Quantity::Bytes(128), found: Quantity::Bytes(300) };
        assert_eq!(error.mismatch(), Some(&values));
        let error = Error::shape("add", "sum", "has 3 values, got 4").between(3, 4);
        assert_eq!(error.mismatch(), Some(&Mismatch { expected: Quantity::Count(3), found: Quantity::Count(4) }));
        assert_eq!(Error::config("lr", "is NaN").mismatch(), None);
        assert_eq!(Error::name("x", "is not there").between(1, 2).mismatch(), None);
    }
}
