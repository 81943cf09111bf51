//! The options for reading image files.

use clap::Args;
use tilegrad::data::images::MAX_PIXELS;
use tilegrad::data::{ImageOptions, Resize};
use tilegrad::{Error, Result};

/// The options of examples that read folders of images.
#[derive(Args, Clone, Debug)]
pub struct Reading {
    /// Brings the images of a folder by class to one size; without it all must have one. N scales the short side to N and
    /// cuts N by N pixels out of the centre, HxW stretches to H rows of W pixels.
    #[arg(long, value_name = "N|HxW")]
    resize: Option<Resize>,

    /// Stretches images to their size, in place of cutting a square out of the centre.
    #[arg(long)]
    squash: bool,

    #[command(flatten)]
    limits: Limits,

    /// Channels of the images of a folder: 3, to which gray images are repeated, or 1, to which colour is weighted.
    #[arg(long, value_name = "1|3")]
    channels: Option<usize>,
}

/// The limits of image files.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Pixels above which an image file is refused by what its header claims, before memory is taken.
    #[arg(long, value_name = "N", default_value_t = MAX_PIXELS)]
    pub max_pixels: u64,
}

impl Reading {
    /// Takes gray images, unless the number of channels was chosen.
    pub fn gray(&mut self) {
        self.channels.get_or_insert(1);
    }

    /// How images are read.
    pub fn images(&self) -> Result<ImageOptions> {
        if self.squash && self.resize.is_none() {
            return Err(Error::config("squash", "says how --resize N is done, give that too"));
        }
        let resize = self.resize.map(|resize| if self.squash { resize.squashed() } else { resize });
        let options = ImageOptions::default().resize(resize).max_pixels(self.limits.max_pixels);
        Ok(self.channels.map_or(options, |channels| options.channels(channels)))
    }
}
