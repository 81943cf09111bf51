//! `--profile FILE` as a person meets it: tables on the terminal and a trace in FILE, or the reason why there are none.

#[path = "common/program.rs"]
mod program;
#[path = "common/scratch.rs"]
mod scratch;

use program::example;
use scratch::Scratch;

/// Runs the lenet example and gives what it prints.
fn lenet(arguments: &[&str]) -> String {
    let output = example("lenet").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A folder with 20 images to train on and 10 to test on.
fn data_set(test: &str) -> Scratch {
    let folder = Scratch::new(test);
    let idx = |magic: u32, extents: &[u32]| {
        let mut content = magic.to_be_bytes().to_vec();
        extents.iter().for_each(|extent| content.extend(extent.to_be_bytes()));
        content.extend((0..extents.iter().product()).map(|i| (i % 10) as u8));
        content
    };
    for (name, count) in [("train", 20), ("t10k", 10)] {
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), idx(0x803, &[count, 28, 28])).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), idx(0x801, &[count])).unwrap();
    }
    folder
}

#[test]
fn a_run_on_a_gpu_prints_tables_and_writes_a_trace() {
    let data = data_set("gpu");
    let file = data.join("below/trace.json");
    let arguments = ["--data", data.to_str().unwrap(), "--epochs", "1", "--profile", file.to_str().unwrap()];
    let text = lenet(&arguments);
    if text.contains("reference executor") {
        assert!(!file.exists() && text.contains("profile  none"), "{text}");
    } else {
        for part in ["kernel  ", "layer  ", "GFLOP/s", "of best", "conv1", "fc3", "sgd", "a step takes"] {
            assert!(text.contains(part), "\"{part}\" is not in: {text}");
        }
        let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |name: &str| events.iter().filter(|event| event["ph"] == "X" && event["name"] == name).count();
        assert!(of("conv2") >= 3 && of("fc1") >= 3, "{trace}");
        assert!(events.iter().filter(|event| event["ph"] == "X").all(|event| event["dur"].is_number()), "{trace}");
    }
}

#[test]
fn a_run_on_the_cpu_says_why_there_is_no_profile() {
    let data = data_set("cpu");
    let file = data.join("trace.json");
    let mut arguments = vec!["--data", data.to_str().unwrap(), "--epochs", "1", "--device", "cpu"];
    arguments.extend(["--profile", file.to_str().unwrap()]);
    let text = lenet(&arguments);
    assert!(text.contains("profile  none") && text.contains("GPU"), "{text}");
    assert!(!file.exists());
}
