//! Downloads by HTTP from a list of mirrors. An interrupted download resumes, and a file appears under its name only
//! with the expected SHA-256.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{StatusCode, header};
use ureq::{Agent, ResponseExt};

use crate::error::{Error, Result};

/// Time without data after which a connection is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of bytes between two progress reports.
const CHUNK: usize = 1 << 17;

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Its name in the target folder.
    pub name: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Addresses, the preferred one first.
    pub urls: Vec<String>,
}

/// Progress of a download.
#[derive(Clone, Copy, Debug)]
pub struct DownloadProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Its address, after redirections.
    pub url: &'a str,
    /// Number of bytes present, including those of an earlier attempt.
    pub done: u64,
    /// Size of the whole file in bytes, if the server reports it.
    pub total: Option<u64>,
}

/// Downloads `file` to the folder `dir`, which is created if needed, and returns its path.
///
/// A file that is present with the right SHA-256 is not downloaded again. A download is called `NAME.part` while it
/// runs. An interrupted attempt leaves that file, and the next one requests only the rest, from any mirror. The file
/// gets its name once its SHA-256 is right; otherwise it is deleted. [`Error::Data`] names the file and the failure at
/// each address. [`Error::Io`] names what the system refuses, such as an unwritable folder.
pub fn fetch(file: &Mirrored, dir: &Path, progress: &mut dyn FnMut(DownloadProgress<'_>)) -> Result<PathBuf> {
    let path = dir.join(&file.name);
    if path.is_file() && sha256(&path)?.eq_ignore_ascii_case(&file.sha256) {
        return Ok(path);
    }
    fs::create_dir_all(dir).map_err(|error| Error::io(dir, error))?;
    let part = dir.join(format!("{}.part", file.name));
    let agent = Agent::config_builder()
        // The code below handles each status.
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .user_agent(concat!("tilegrad/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut transfer = Transfer { agent, file, part, progress };
    let mut failures = String::new();
    for url in &file.urls {
        match transfer.whole(url) {
            Ok(()) => {
                fs::rename(&transfer.part, &path).map_err(|error| Error::io(&path, error))?;
                return Ok(path);
            }
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Mirror(reason)) => {
                log::warn!("{url}: {reason}");
                // Writing to a String cannot fail.
                let _ = write!(failures, "; {url}: {reason}");
            }
        }
    }
    let message = format!("could not be fetched{failures}; a copy from elsewhere can be put in its place");
    Err(Error::data(&path, message))
}

/// Reason why a mirror failed.
enum Failure {
    /// Another mirror may succeed.
    Mirror(String),
    /// No mirror can succeed.
    Fatal(Error),
}

/// A download in progress.
struct Transfer<'a> {
    agent: Agent,
    file: &'a Mirrored,
    part: PathBuf,
    progress: &'a mut dyn FnMut(DownloadProgress<'_>),
}

impl Transfer<'_> {
    /// Downloads the file from `url` to its temporary name, complete and checked.
    fn whole(&mut self, url: &str) -> Result<(), Failure> {
        let mut restarted = false;
        loop {
            let before = self.length()?;
            match self.rest(url, before) {
                Ok(()) => match self.check() {
                    // The rest of an earlier attempt may belong to another file, so start again once.
                    Err(Failure::Mirror(_)) if before > 0 && !restarted => restarted = true,
                    result => return result,
                },
                // A connection that broke after it brought data is resumed.
                Err(Failure::Mirror(reason)) if self.length()? > before => log::info!("{url}: {reason}; going on"),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Number of bytes of the file that are present.
    fn length(&self) -> Result<u64, Failure> {
        match fs::metadata(&self.part) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.system(error)),
        }
    }

    /// Requests the bytes of `url` after the first `start` and appends them. If the server sends everything, the file
    /// starts anew.
    fn rest(&mut self, url: &str, start: u64) -> Result<(), Failure> {
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let mut response = request.call().map_err(|error| Failure::Mirror(error.to_string()))?;
        let status = response.status();
        let start = match status {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if begins_at(response.headers(), start) => start,
            // There is no rest: the file is complete, or its bytes belong to another file. The digest decides.
            StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => return Ok(()),
            _ => return Err(Failure::Mirror(format!("the server answers {status}"))),
        };
        let from = response.get_uri().to_string();
        let length = response.body().content_length();
        let total = length.map(|rest| start + rest);
        let mut part = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.part)
            .map_err(|error| self.system(error))?;
        part.set_len(start)
            .and_then(|()| io::Seek::seek(&mut part, io::SeekFrom::Start(start)))
            .map_err(|error| self.system(error))?;
        // ureq's default limit is meant for pages.
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let (mut done, mut buffer) = (start, vec![0; CHUNK]);
        loop {
            (self.progress)(DownloadProgress { file: &self.file.name, url: &from, done, total });
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Mirror(format!("the connection broke after {done} bytes: {error}"))),
            };
            part.write_all(&buffer[..count]).map_err(|error| self.system(error))?;
            done += count as u64;
        }
        if let Some(total) = total
            && done < total
        {
            return Err(Failure::Mirror(format!("the connection ended after {done} of {total} bytes")));
        }
        part.sync_all().map_err(|error| self.system(error))
    }

    /// Checks the downloaded file against its digest, and deletes it if it is wrong.
    fn check(&self) -> Result<(), Failure> {
        let found = sha256(&self.part).map_err(Failure::Fatal)?;
        if found.eq_ignore_ascii_case(&self.file.sha256) {
            return Ok(());
        }
        fs::remove_file(&self.part).map_err(|error| self.system(error))?;
        Err(Failure::Mirror(format!("the SHA-256 of what came is {found}, expected {}", self.file.sha256)))
    }

    fn system(&self, error: io::Error) -> Failure {
        Failure::Fatal(Error::io(&self.part, error))
    }
}

/// True if the server's part follows the first `start` bytes: "bytes START-END/TOTAL".
fn begins_at(headers: &header::HeaderMap, start: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    first.is_some_and(|(first, _)| first.trim().parse() == Ok(start))
}

/// Returns the SHA-256 of the file at `path`, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut copy = || io::copy(&mut File::open(path)?, &mut hash);
    copy().map_err(|error| Error::io(path, error))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
