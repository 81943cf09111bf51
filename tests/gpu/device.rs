//! Adapters and what goes wrong on them: choice by name, devices without optional features, loss in mid-run.

use std::sync::Arc;

use tilegrad::Error;
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::Choices;
use tilegrad::plan::{ParameterLayout, Plan};

use crate::check::device;

/// A product of two inputs on a device, kept, with the session.
fn product(device: &Device) -> tilegrad::Result<(Session, tilegrad::graph::TensorId)> {
    let mut tape = Tape::new(Purpose::Evaluate);
    let a = tape.input("a", Spec::f32([16, 24]))?;
    let b = tape.input("b", Spec::f32([24, 8]))?;
    let output = tape.matmul("product", a, b)?;
    tape.keep(output);
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
    let store = Arc::new(Store::new(device, Arc::clone(&layout))?);
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default())?;
    let session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
    session.write("a", &[1.0; 16 * 24])?;
    session.write("b", &[2.0; 24 * 8])?;
    Ok((session, output))
}

#[test]
fn an_adapter_that_does_not_exist_is_named_with_those_that_do() {
    if device().is_none() {
        return;
    }
    let options = DeviceOptions::default().adapter("Voodoo 3");
    let Err(error) = Device::new(options) else { panic!("there is no such adapter") };
    assert!(matches!(error, Error::NoAdapter { .. }));
    let text = error.to_string();
    assert!(text.contains("Voodoo 3") && text.contains("found \""), "{text}");
}

#[test]
fn a_part_of_the_name_in_any_case_chooses() {
    let Some(device) = device() else { return };
    // scripts/test_adapters.sh reads which adapter the tests are run on.
    println!("adapter: {}", device.name());
    let part: String = device.name().chars().take(5).collect();
    let options = DeviceOptions::default().adapter(part.to_uppercase());
    assert_eq!(Device::new(options).unwrap().name(), device.name());
}

#[test]
fn an_adapter_says_what_it_is() {
    let Some(device) = device() else { return };
    let facts = device.facts();
    let name = facts["name"].as_str().expect("it has a name");
    assert!(device.name().starts_with(name), "{facts}");
    let binding = facts["limits"]["max_storage_buffer_binding_size"].as_u64().expect("a limit is a number");
    assert!(binding >= device.caps().max_binding, "{facts}");
    let features = facts["features"].as_array().expect("a list");
    let used = facts["features_used"].as_array().expect("a list");
    assert!(used.iter().all(|feature| features.contains(feature)), "{facts}");
    assert_eq!(used.contains(&"SUBGROUP".into()), device.caps().subgroups.is_some(), "{facts}");
    assert!(facts["cooperative_matrices"].is_array() && facts["subgroup_sizes"].is_array(), "{facts}");
}

#[test]
fn it_works_without_the_optional_features_and_at_default_limits() {
    if device().is_none() {
        return;
    }
    let options = DeviceOptions::default()
        .subgroups(false)
        .f16(false)
        .timestamps(false)
        .pipeline_cache(false)
        .default_limits(true);
    let device = Device::new(options).unwrap();
    assert_eq!(device.caps().subgroups, None);
    assert_eq!(device.facts()["features_used"].as_array().map(Vec::len), Some(0), "{}", device.facts());
    assert_eq!(device.caps().max_binding, 128 << 20);
    let (mut session, output) = product(&device).unwrap();
    session.step().unwrap();
    assert_eq!(session.read_f32(output).unwrap(), [48.0; 128]);
}

#[test]
fn a_device_lost_in_mid_run_is_a_typed_error_and_a_new_one_goes_on() {
    if device().is_none() {
        return;
    }
    let lost = Device::new(DeviceOptions::default()).unwrap();
    let (mut session, output) = product(&lost).unwrap();
    session.step().unwrap();
    session.step().unwrap();
    lost.destroy();
    assert!(matches!(session.step(), Err(Error::DeviceLost(_))));
    assert!(matches!(session.read_f32(output), Err(Error::DeviceLost(_))));
    assert!(matches!(session.write("a", &[0.0; 16 * 24]), Err(Error::DeviceLost(_))));
    assert!(matches!(lost.wait(), Err(Error::DeviceLost(_))));
    // The plan holds nothing of the device, so it runs on another.
    let plan = Arc::clone(session.plan());
    let device = Device::new(DeviceOptions::default()).unwrap();
    let store = Arc::new(Store::new(&device, Arc::clone(&plan.layout)).unwrap());
    let mut session = Session::new(&store, plan, SessionOptions::default()).unwrap();
    session.write("a", &[1.0; 16 * 24]).unwrap();
    session.write("b", &[1.0; 24 * 8]).unwrap();
    session.step().unwrap();
    assert_eq!(session.read_f32(output).unwrap(), [24.0; 128]);
}

#[test]
fn a_tensor_too_large_for_the_device_is_an_error_with_its_name() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Evaluate);
    let rows = (device.caps().max_binding / 4 + 1) as usize;
    let input = tape.input("input", Spec::f32([rows, 1])).unwrap();
    let output = tape.relu("relu", input).unwrap();
    tape.keep(output);
    let Err(error) = crate::check::session(device, tape, &Choices::default(), SessionOptions::default()) else {
        panic!("{rows} rows fit no binding")
    };
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert!(error.to_string().contains("tensor \"relu\""), "{error}");
}
