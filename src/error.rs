//! The library's one error type. Every message names the thing at fault and, where possible, what to do about it.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// Result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Reason why a tape, plan, device, data set or run could not do what was asked.
///
/// `Debug` writes the same message as `Display`, followed by any causes that the message does not name. A program whose
/// `main` returns [`Result`] therefore ends with a readable message.
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
        /// The misfit, with the shapes.
        message: String,
        /// The two conflicting values, if the message compares two.
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
        /// The two conflicting values, if the message compares two.
        mismatch: Option<Box<Mismatch>>,
    },
    /// A parameter, tensor or input whose name does not exist or is already taken.
    #[error("\"{name}\": {message}")]
    Name {
        /// The requested name.
        name: String,
        /// The place searched, and the names that it holds.
        message: String,
    },
    /// Something larger than the device allows.
    #[error("{what} needs {needed}, the device allows {allowed}; {hint}")]
    Limit {
        /// The tensor, kernel or buffer.
        what: String,
        /// The amount needed, with its unit.
        needed: String,
        /// The amount that the device allows, with its unit.
        allowed: String,
        /// Advice on what to do instead.
        hint: String,
        /// Both values in bytes, if they are bytes: the expected value is the maximum allowed, the found value is what
        /// was needed.
        mismatch: Option<Box<Mismatch>>,
    },
    /// No adapter fits the request.
    #[error("no GPU adapter: {tried}; {hint}")]
    NoAdapter {
        /// The backends and names tried, and the adapters found.
        tried: String,
        /// Advice on what to install or request instead.
        hint: String,
    },
    /// The device was lost (driver reset, removal, `destroy`). A session can be rebuilt from its plan and a host copy.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// The device has no room for a buffer.
    #[error("out of device memory: {0}; a smaller batch needs less")]
    OutOfMemory(String),
    /// A kernel, buffer or dispatch that wgpu or naga refused. This is a defect of the library; please report it.
    #[error("validation: {0}")]
    Validation(String),
    /// An infinite or NaN loss, and the first tensor that is not finite.
    #[error("{0}")]
    NonFinite(NonFinite),
    /// A data, weight or run file with invalid content.
    #[error("{}: {message}", printable(path))]
    Data {
        /// The file.
        path: PathBuf,
        /// The offset or field, the expected value and the value found.
        message: String,
        /// The two conflicting values, if the message compares two.
        mismatch: Option<Box<Mismatch>>,
    },
    /// The operating system refused a file operation.
    #[error("{}: {source}", printable(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// Creates an [`Error::Shape`] of the operation `op` for the node or tensor `name`.
    pub fn shape(op: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Shape { op, name: name.into(), message: message.into(), mismatch: None }
    }

    /// Creates an [`Error::Limit`] for `what` from text: the amount needed, the amount allowed, and what to do instead.
    pub fn limit(
        what: impl Into<String>,
        needed: impl Into<String>,
        allowed: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let [what, needed] = [what.into(), needed.into()];
        Error::Limit { what, needed, allowed: allowed.into(), hint: hint.into(), mismatch: None }
    }

    /// Creates an [`Error::Limit`] for `what`, which takes `needed` of the `allowed` bytes in `place`. `hint` says what
    /// to do instead.
    pub fn too_large(what: impl Into<String>, needed: u64, allowed: u64, place: &str, hint: impl Into<String>) -> Self {
        let [allowed, needed] = [allowed, needed].map(Quantity::Bytes);
        Error::limit(what, needed.to_string(), format!("{allowed} {place}"), hint).between(allowed, needed)
    }

    /// Creates an [`Error::Config`] for `field`.
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Config { field: field.into(), message: message.into(), mismatch: None }
    }

    /// Creates an [`Error::Name`] for `name`.
    pub fn name(name: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Name { name: name.into(), message: message.into() }
    }

    /// Creates an [`Error::Data`] for the file at `path`.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_path_buf(), message: message.into(), mismatch: None }
    }

    /// Creates an [`Error::Io`] for the file at `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// Adds the two values that the message compares. Variants without a field for them stay unchanged.
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

    /// The expected and the found value, if the error compares two and carries them.
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

/// Returns a name or path as text for one line: line breaks and other control characters are escaped as in Rust, bytes
/// that are not UTF-8 as `\xNN`.
/// ```
/// assert_eq!(tilegrad::error::printable("two\nlines"), "two\\nlines");
/// ```
pub fn printable(name: impl AsRef<OsStr>) -> String {
    // They turn the direction of writing or end the line, unseen.
    let hidden = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = String::new();
    for chunk in name.as_ref().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() || hidden(c) {
                true => text.extend(c.escape_default()),
                false => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Two values that should agree and do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The requested value, or the maximum allowed.
    pub expected: Quantity,
    /// The value found instead.
    pub found: Quantity,
}

/// A value that an [`Error`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Extents of a tensor in PyTorch's order, or the number of values where only that is known.
    Extents(Vec<usize>),
    /// Height, width and channels of images.
    Image([usize; 3]),
    /// A number of things.
    Count(usize),
    /// A size in bytes.
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
            // Most messages quote their cause.
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

/// The step at which numbers ceased to be finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The step, counted in batches from 1.
    pub step: usize,
    /// Its epoch, from 1.
    pub epoch: usize,
    /// Its learning rate.
    pub lr: f64,
    /// The loss that is not finite.
    pub loss: f32,
    /// The first tensor in the order of the step that holds an infinity or NaN; `None` if none was found.
    pub tensor: Option<Culprit>,
}

/// A tensor with numbers that are not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// Description of the tensor, for example "output of conv2d \"conv1\"".
    pub what: String,
    /// Number of its elements that are infinite or NaN.
    pub wrong: usize,
    /// Number of its elements.
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

    /// An error with a cause.
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
