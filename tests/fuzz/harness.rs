//! The loop: mutate, read, and watch.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::memory::{Taken, measured};
use crate::mutate::{Random, mutate};

/// Longest time that a reader may take for an input, in milliseconds: of the processor where the system tells it, for
/// a machine may have other work, and in any case.
const PATIENCE: u64 = 10_000;
const LAST: u64 = 120_000;
/// Failures after which a reader is left alone.
const FAILURES: usize = 20;
/// Inputs that are kept because they led to a new message.
const KEPT: usize = 400;

/// A file for a reader. A reader may take several kinds of files, or one in several ways.
#[derive(Clone, Debug)]
pub struct Input {
    pub kind: usize,
    pub bytes: Vec<u8>,
}

/// A function that reads an input.
type Read = dyn FnMut(&Input) -> Result<(), String>;

/// A reader of files.
pub struct Reader {
    /// Valid files.
    pub seeds: Vec<Input>,
    /// Most memory that it may take for an input of this many bytes: in one allocation, and in all.
    pub limit: fn(usize) -> Taken,
    /// Reads an input. The error is its message.
    pub read: Box<Read>,
    /// Restores what a mutation breaks and a reader compares first, checksums and lengths; may make changes of its own.
    pub mend: Option<fn(&mut Input, &mut Random)>,
}

/// One reader at a time: memory is counted for the whole process.
static ONE: Mutex<()> = Mutex::new(());
/// Waits until no other test of this binary counts memory.
pub fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Message and place of the last panic.
static PANIC: Mutex<String> = Mutex::new(String::new());
/// Milliseconds since the start of the process at which the present input began; 0 between inputs.
static BEGUN: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    static START: Mutex<Option<Instant>> = Mutex::new(None);
    let start = *START.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    start.elapsed().as_millis() as u64 + 1
}

/// Milliseconds that this process has worked.
fn processor() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, a name in parentheses, may hold blanks. Times are in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11..13)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(10 * ticks)
}

/// Starts the watch over time, and takes notes of panics.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match BEGUN.load(Relaxed) {
            0 => before(info),
            _ => *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string(),
        }));
        std::thread::spawn(|| {
            let (mut watched, mut from) = (0, None);
            loop {
                std::thread::sleep(Duration::from_millis(200));
                let begun = BEGUN.load(Relaxed);
                if begun != watched {
                    (watched, from) = (begun, processor());
                }
                let took = now().saturating_sub(begun);
                let worked = from.and_then(|from| Some(processor()? - from)).unwrap_or(took);
                if begun != 0 && (worked.min(took) > PATIENCE || took > LAST) {
                    // Nothing can end another thread.
                    eprintln!("a reader hangs; its input is the newest *.now in {}", folder().display());
                    std::process::exit(101);
                }
            }
        });
    });
}

/// The folder of inputs that failed.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz")
}

/// Writes a file anew. Some systems wait for the disk where a file that is there is cut to nothing.
pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

fn number(name: &str) -> Option<f64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A file's name has its kind in front: "2-of-what.bin".
fn regressions(name: &str) -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(name);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let input = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = name.split('-').next().and_then(|kind| kind.parse().ok());
        Input { kind: kind.expect("a name begins with a kind"), bytes: fs::read(&path).unwrap() }
    };
    paths.into_iter().map(input).collect()
}

/// Reads an input. The error says what must not be; what it returns is the reader's own result.
fn attempt(reader: &mut Reader, input: &Input) -> Result<Result<(), String>, String> {
    let limit = (reader.limit)(input.bytes.len());
    BEGUN.store(now(), Relaxed);
    let (result, taken) = measured(|| catch_unwind(AssertUnwindSafe(|| (reader.read)(input))));
    BEGUN.store(0, Relaxed);
    let result = result.map_err(|_| PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone())?;
    if taken.largest > limit.largest || taken.alive > limit.alive {
        return Err(format!("takes {taken:?} for {} bytes, the limit is {limit:?}", input.bytes.len()));
    }
    Ok(result)
}

/// What tells messages apart: their letters.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).take(160).collect()
}

/// Runs the reader called `name` on its seeds, on the inputs that once failed, and on mutations of both.
pub fn fuzz(name: &str, mut reader: Reader) {
    let _alone = alone();
    watch();
    fs::create_dir_all(folder()).unwrap();
    let mut failures: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    let mut fail = |input: &Input, fault: String, known: &mut HashSet<String>| {
        if known.insert(letters(&fault)) {
            let path = folder().join(format!("{}-{name}-{}.bin", input.kind, failures.len()));
            fs::write(&path, &input.bytes).unwrap();
            eprintln!("{name}: {fault}\n  the input is {}", path.display());
            failures.push(format!("{fault} ({})", path.display()));
        }
        failures.len() < FAILURES
    };
    for seed in reader.seeds.clone() {
        match attempt(&mut reader, &seed) {
            Ok(result) => assert_eq!(result, Ok(()), "{name}: a seed of kind {} must be read", seed.kind),
            Err(fault) => panic!("{name}: a seed of kind {}: {fault}", seed.kind),
        }
    }
    let mut corpus = reader.seeds.clone();
    for input in regressions(name) {
        if let Err(fault) = attempt(&mut reader, &input) {
            fail(&input, fault, &mut known);
        }
        corpus.push(input);
    }
    let seconds = number("TILEGRAD_FUZZ_MINUTES").map_or(1.0, |minutes| minutes * 60.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut random = Random::new(number("TILEGRAD_FUZZ_SEED").unwrap_or(1.0) as u64);
    let (mut count, mut read) = (0_u64, 0_u64);
    let mut messages = HashSet::new();
    let note = folder().join(format!("{name}.now"));
    while Instant::now() < end {
        // Valid files as often as those that mutations have led to.
        let from = if random.below(2) == 0 { &reader.seeds } else { &corpus };
        let (mut input, other) = (random.of(from).clone(), random.of(&corpus).clone());
        let ways = random.below(8);
        if ways > 1 || reader.mend.is_none() {
            mutate(&mut input.bytes, &other.bytes, &mut random);
        }
        if let Some(mend) = reader.mend.filter(|_| ways < 7) {
            mend(&mut input, &mut random);
        }
        put(&note, [format!("{}-", input.kind).as_bytes(), &input.bytes].concat());
        count += 1;
        match attempt(&mut reader, &input) {
            Ok(Ok(())) => read += 1,
            // A new message is a sign of a new way through the reader.
            Ok(Err(message)) => {
                if messages.insert(letters(&message)) && corpus.len() < KEPT {
                    corpus.push(input);
                }
            }
            Err(fault) => {
                if !fail(&input, fault, &mut known) {
                    break;
                }
            }
        }
    }
    fs::remove_file(&note).unwrap();
    eprintln!("{name}: {count} inputs in {seconds} s, {read} read, {} messages", messages.len());
    assert!(failures.is_empty(), "{name}: {} failures: {}", failures.len(), failures.join("; "));
}
