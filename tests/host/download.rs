//! Downloads, from a server that runs in a thread of the test: whole, interrupted and resumed, refused.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tilegrad::Error;
use tilegrad::data::download::{DownloadProgress, Known, Mirrored, fetch, sha256};
use tilegrad::data::{FolderOptions, Format, Normalisation, detect, idx, open};

use crate::scratch::{Scratch, names, unwritable};

/// How a folder of the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Gives what is asked for.
    Good,
    /// Does not know of ranges, and gives all.
    Whole,
    /// Promises everything and ends the connection after so many bytes, counted from where it was asked to start.
    Breaks(usize),
    /// The same without ranges.
    BreaksWhole(usize),
    /// Gives other bytes.
    Wrong,
    /// Has nothing.
    Missing,
}

/// What was asked for: the path, and the first byte where a range was.
type Request = (String, Option<usize>);

struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `files` by name, each to be had from all the folders of `manners`.
    fn new(files: &[(&str, Vec<u8>)], manners: &[(&str, Manner)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let files: HashMap<String, Vec<u8>> = files.iter().map(|(name, c)| (name.to_string(), c.clone())).collect();
        let manners: HashMap<String, Manner> = manners.iter().map(|(name, m)| (name.to_string(), *m)).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &files, &manners, &seen);
            }
        });
        Server { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What has been asked for since the last call.
    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

fn answer(
    mut stream: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    manners: &HashMap<String, Manner>,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    let path = first.split(' ').nth(1).unwrap().trim_start_matches('/').to_string();
    let mut start = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = Some(range.trim_end_matches('-').parse().unwrap());
        }
    }
    seen.lock().unwrap().push((path.clone(), start));
    let (folder, name) = path.split_once('/').unwrap();
    let (manner, mut content) = (manners[folder], files.get(name).cloned().unwrap_or_default());
    if manner == Manner::Missing || content.is_empty() {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if manner == Manner::Wrong {
        content[0] ^= 1;
    }
    if matches!(manner, Manner::Whole | Manner::BreaksWhole(_)) {
        start = None;
    }
    let (total, from) = (content.len(), start.unwrap_or(0));
    if from >= total {
        let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head.as_bytes());
    }
    let head = match start {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}", total - 1),
        None => "200 OK".into(),
    };
    let length = total - from;
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    let end = match manner {
        Manner::Breaks(bytes) | Manner::BreaksWhole(bytes) => total.min(from + bytes),
        _ => total,
    };
    stream.write_all(&content[from..end])
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file `f`, to be had in `folders` of the server.
fn file(server: &Server, folders: &[&str]) -> Mirrored {
    let urls = folders.iter().map(|folder| server.url(&format!("{folder}/f"))).collect();
    Mirrored { name: "f".into(), sha256: digest(&content()), urls }
}

fn server() -> Server {
    use Manner::*;
    let manners = [
        ("good", Good),
        ("whole", Whole),
        ("breaks", Breaks(100_000)),
        ("breaks-whole", BreaksWhole(100_000)),
        ("wrong", Wrong),
        ("missing", Missing),
    ];
    Server::new(&[("f", content())], &manners)
}

fn silent(_: DownloadProgress<'_>) {}

#[test]
fn a_file_comes_whole_says_how_far_it_is_and_is_not_fetched_twice() {
    let (scratch, server) = (Scratch::new("download-whole"), server());
    let mut seen = Vec::new();
    let dir = scratch.join("new/folder");
    let path = fetch(&file(&server, &["good"]), &dir, &mut |progress| {
        assert_eq!((progress.file, progress.url), ("f", server.url("good/f").as_str()));
        seen.push((progress.done, progress.total));
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(names(&dir), ["f"]);
    assert_eq!((seen[0], *seen.last().unwrap()), ((0, Some(300_000)), (300_000, Some(300_000))));
    assert!(seen.is_sorted());
    assert_eq!(server.requests(), [("good/f".into(), None)]);
    fetch(&file(&server, &["good"]), &dir, &mut |_| panic!("nothing is to come")).unwrap();
    assert!(server.requests().is_empty());
    // What is there and is not the file gives way to it.
    fs::write(&path, "another").unwrap();
    fetch(&file(&server, &["good"]), &dir, &mut silent).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(sha256(&path).unwrap(), digest(&content()));
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (scratch, server) = (Scratch::new("download-broken"), server());
    let path = fetch(&file(&server, &["breaks"]), &scratch, &mut silent).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    let asked: Vec<Option<usize>> = server.requests().into_iter().map(|(_, start)| start).collect();
    assert_eq!(asked, [None, Some(100_000), Some(200_000)]);
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let (scratch, server) = (Scratch::new("download-resumed"), server());
    scratch.write("f.part", &content()[..123_456]);
    let mut least = u64::MAX;
    let path = fetch(&file(&server, &["missing", "good"]), &scratch, &mut |p| least = least.min(p.done)).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(least, 123_456);
    let from = Some(123_456);
    assert_eq!(
        server.requests(),
        [("missing/f".into(), from), ("good/f".into(), from)],
        "only the rest, of each mirror"
    );
    assert_eq!(names(&scratch), ["f"]);
    // All of it, only not renamed yet.
    fs::rename(scratch.join("f"), scratch.join("f.part")).unwrap();
    fetch(&file(&server, &["good"]), &scratch, &mut silent).unwrap();
    assert_eq!(server.requests(), [("good/f".into(), Some(300_000))]);
    assert_eq!(names(&scratch), ["f"]);
}

#[test]
fn the_rest_of_another_file_is_noticed_and_all_is_fetched() {
    let (scratch, server) = (Scratch::new("download-other"), server());
    for left in [vec![7; 5_000], vec![7; 300_000], vec![7; 400_000]] {
        let start = Some(left.len());
        scratch.write("f.part", left);
        let path = fetch(&file(&server, &["good"]), &scratch, &mut silent).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
        assert_eq!(server.requests(), [("good/f".into(), start), ("good/f".into(), None)]);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let (scratch, server) = (Scratch::new("download-no-range"), server());
    scratch.write("f.part", &content()[..200_000]);
    let path = fetch(&file(&server, &["whole"]), &scratch, &mut silent).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(server.requests(), [("whole/f".into(), Some(200_000))]);
    fs::remove_file(path).unwrap();
    // One that always breaks at the same place is given up.
    let error = fetch(&file(&server, &["breaks-whole"]), &scratch, &mut silent).unwrap_err().to_string();
    assert!(error.contains("after 100000 bytes") || error.contains("after 100000 of 300000 bytes"), "{error}");
    assert_eq!(server.requests().len(), 2);
    // And another mirror goes on from there.
    fetch(&file(&server, &["good"]), &scratch, &mut silent).unwrap();
    assert_eq!(server.requests(), [("good/f".into(), Some(100_000))]);
}

#[test]
fn a_wrong_digest_is_refused_and_nothing_is_placed() {
    let (scratch, server) = (Scratch::new("download-wrong"), server());
    let refused = |left: usize| {
        if left > 0 {
            scratch.write("f.part", &content()[..left]);
        }
        match fetch(&file(&server, &["wrong"]), &scratch, &mut silent) {
            Err(Error::Data { path, message, .. }) => {
                assert_eq!(path, scratch.join("f"));
                let mut wrong = content();
                wrong[0] ^= 1;
                let expected =
                    format!("the SHA-256 of what came is {}, expected {}", digest(&wrong), digest(&content()));
                assert!(message.contains(&expected), "{message}");
                assert!(message.contains(&server.url("wrong/f")), "{message}");
            }
            other => panic!("{other:?}"),
        }
        assert!(names(&scratch).is_empty(), "{:?}", names(&scratch));
    };
    refused(0);
    fetch(&file(&server, &["wrong", "good"]), &scratch, &mut silent).unwrap();
    fs::remove_file(scratch.join("f")).unwrap();
    // The wrong byte lies in what was there already: right, whatever that server has.
    scratch.write("f.part", &content()[..1_000]);
    fetch(&file(&server, &["wrong"]), &scratch, &mut silent).unwrap();
}

#[test]
fn the_next_mirror_is_asked_and_in_the_end_each_has_its_reason() {
    let (scratch, server) = (Scratch::new("download-mirrors"), server());
    fetch(&file(&server, &["missing", "good"]), &scratch, &mut silent).unwrap();
    assert_eq!(server.requests(), [("missing/f".into(), None), ("good/f".into(), None)]);
    fs::remove_file(scratch.join("f")).unwrap();
    let mut all = file(&server, &["missing", "wrong"]);
    // A port that nobody listens at.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    all.urls.push(format!("http://{free}/f"));
    let error = fetch(&all, &scratch, &mut silent).unwrap_err().to_string();
    for part in [
        format!("{}: could not be fetched", scratch.join("f").display()),
        format!("{}: the server answers 404 Not Found", all.urls[0]),
        format!("{}: the SHA-256", all.urls[1]),
        format!("{}: ", all.urls[2]),
    ] {
        assert!(error.contains(&part), "{error} without {part}");
    }
    assert!(names(&scratch).is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_nobody_is_asked() {
    let (scratch, server) = (Scratch::new("download-unwritable"), server());
    let dir = unwritable(&scratch);
    let error = fetch(&file(&server, &["good", "whole"]), &dir, &mut silent).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == dir), "{error}");
    assert!(server.requests().is_empty());
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The files of a known set, made here, and where to fetch them.
fn published(known: Known, contents: &[Vec<u8>]) -> (Server, Vec<Mirrored>) {
    let mut files = known.files();
    let given: Vec<(&str, Vec<u8>)> = files.iter().map(|file| &*file.name).zip(contents.iter().cloned()).collect();
    let server = Server::new(&given, &[("mirror", Manner::Good)]);
    let mut own = Vec::new();
    for (file, content) in files.iter_mut().zip(contents) {
        let urls = vec![server.url(&format!("mirror/{}", file.name))];
        own.push(Mirrored { name: file.name.clone(), sha256: digest(content), urls });
    }
    (server, own)
}

#[test]
fn a_fetched_archive_is_unpacked_and_opened() {
    let scratch = Scratch::new("download-cifar");
    let record = |label: u8| [vec![label], vec![90; 3072]].concat();
    let archive = |names: &[&str]| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content).unwrap();
        };
        for name in names {
            add(&format!("cifar-10-batches-bin/{name}"), &[record(3), record(9)].concat());
        }
        add("elsewhere/test_batch.bin", b"not wanted");
        gzip(&builder.into_inner().unwrap())
    };
    let batches = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
    let all = [&batches[..], &["test_batch.bin", "batches.meta.txt"]].concat();
    let (server, files) = published(Known::Cifar10, &[archive(&all)]);
    let dir = Known::Cifar10.download_from(&files, &scratch, &mut silent).unwrap();
    assert_eq!(dir, scratch.join("cifar10"));
    assert_eq!(names(&dir), ["cifar-10-batches-bin"], "the archive has gone, and what was not wanted has not come");
    assert_eq!(detect(&dir).unwrap(), Format::Cifar10);
    let size = |name: &str| fs::metadata(dir.join("cifar-10-batches-bin").join(name)).unwrap().len();
    assert_eq!(size("data_batch_2.bin"), 2 * 3073);
    assert_eq!(server.requests().len(), 1);
    Known::Cifar10.download_from(&files, &scratch, &mut silent).unwrap();
    assert!(server.requests().is_empty(), "it is all there");
    fs::remove_file(dir.join("cifar-10-batches-bin/data_batch_2.bin")).unwrap();
    Known::Cifar10.download_from(&files, &scratch, &mut silent).unwrap();
    assert_eq!(size("data_batch_2.bin"), 2 * 3073);

    let (_server, files) = published(Known::Cifar10, &[archive(&batches)]);
    let error = Known::Cifar10.download_from(&files, &scratch.join("cut"), &mut silent).unwrap_err().to_string();
    assert!(error.ends_with("cifar-10-binary.tar.gz: holds no cifar-10-batches-bin/test_batch.bin"), "{error}");
    let (_server, files) = published(Known::Cifar10, &[b"no archive".to_vec()]);
    let error = Known::Cifar10.download_from(&files, &scratch.join("bad"), &mut silent).unwrap_err().to_string();
    assert!(error.contains("cifar-10-binary.tar.gz: is no archive that can be unpacked"), "{error}");
}

#[test]
fn fetched_idx_files_are_opened_by_name() {
    let scratch = Scratch::new("download-idx");
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let images = gzip(&[words(&[0x803, 10, 2, 2]), vec![5; 40]].concat());
    let labels = gzip(&[words(&[0x801, 10]), vec![9, 2, 1, 1, 6, 1, 4, 6, 5, 7]].concat());
    let (_server, files) = published(Known::FashionMnist, &[images.clone(), labels.clone(), images, labels]);
    let dir = Known::FashionMnist.download_from(&files, &scratch, &mut silent).unwrap();
    let opened = open(&dir, &FolderOptions::default()).unwrap();
    assert_eq!(opened.description, format!("Fashion-MNIST of {}", dir.display()));
    assert_eq!(opened.train.class_names, idx::FASHION_MNIST_CLASS_NAMES);
    assert_eq!(opened.normalisation, Some(Normalisation::FASHION_MNIST));
}

#[test]
fn known_sets_have_names_digests_and_several_mirrors() {
    for known in Known::ALL {
        assert_eq!(known.name().parse::<Known>().unwrap(), known);
        for file in known.files() {
            assert!(file.urls.len() >= 2, "{file:?}");
            assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file:?}");
            assert!(file.urls.iter().all(|url| url.ends_with(&format!("/{}", file.name))), "{file:?}");
        }
    }
    let error = "mnist10".parse::<Known>().unwrap_err().to_string();
    let expected = "\"mnist10\" is none that can be fetched; there are mnist, fashion-mnist, cifar10, cifar100";
    assert_eq!(error, format!("data set: {expected}"));
}

/// Where TILEGRAD_MNIST names a folder with published files, their digests are held against the list.
#[test]
fn digests_are_those_of_the_published_files() {
    let Some(dir) = std::env::var_os("TILEGRAD_MNIST") else { return };
    for file in Known::Mnist.files().iter().filter(|file| file.name.starts_with("t10k")) {
        let path = std::path::Path::new(&dir).join(&file.name);
        if path.is_file() {
            assert_eq!(sha256(&path).unwrap(), file.sha256, "{}", path.display());
        }
    }
}
