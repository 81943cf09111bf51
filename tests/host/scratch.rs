//! What tests of files find in their folders: small images, and disks on which nothing can be written.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};

pub use crate::common::scratch::Scratch;

/// A colour image, 3 wide and 2 high, in which hardly two bytes are alike.
pub fn colour(scratch: &Scratch, name: &str, shade: u8) {
    let pixel = |x: u32, y: u32| Rgb([shade, shade.wrapping_mul(3) ^ x as u8, 10 * y as u8 + x as u8]);
    RgbImage::from_fn(3, 2, pixel).save(scratch.path(name)).unwrap();
}

/// A gray image, 3 wide and 2 high.
pub fn gray(scratch: &Scratch, name: &str, shade: u8) {
    GrayImage::from_pixel(3, 2, Luma([shade])).save(scratch.path(name)).unwrap();
}

/// A folder in which nothing can be made, whoever asks: below a file.
pub fn unwritable(scratch: &Scratch) -> PathBuf {
    scratch.write("file", "no folder").join("folder")
}

/// A disk of `kilobytes` mounted at a folder of `scratch`; none, with a word why, where the system does not let us.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn new(scratch: &Scratch, kilobytes: usize) -> Option<Self> {
        let path = scratch.join("disk");
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={kilobytes}k");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: a full disk needs root and a mount of tmpfs, which this system does not allow");
        }
        mounted.then_some(SmallDisk(path))
    }

    /// The names in it.
    pub fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).output();
    }
}

/// The sorted names in a folder.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
