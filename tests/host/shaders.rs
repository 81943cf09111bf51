//! Every kernel by every candidate, by naga: it links, validates within WebGPU's default limits, agrees with the host about
//! params and bindings, has its barriers where all invocations reach them, and translates to every shading language.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess, TypeInner};
use tilegrad::kernel::{Caps, Choices, DeviceClass, HeaderConstant, Kernel};
use tilegrad::plan::{Plan, Step};

use crate::{barriers, zoo};

/// A kernel as naga sees it, with a step for each way in which a plan binds it.
pub struct Linked {
    pub kernel: Kernel,
    module: Module,
    info: ModuleInfo,
    steps: Vec<Step>,
}

/// All kernels that any device, under any choice, runs for the tapes of the zoo, and those that measure a device.
static KERNELS: LazyLock<Result<Vec<Linked>, String>> = LazyLock::new(|| {
    let mut kernels: BTreeMap<Kernel, Vec<Step>> = BTreeMap::new();
    let mut add = |plan: Plan| {
        for step in plan.steps {
            let steps = kernels.entry(step.kernel.clone()).or_default();
            let names = |step: &Step| step.bindings.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            if !steps.iter().any(|other| names(other) == names(&step)) {
                steps.push(step);
            }
        }
    };
    let choices = zoo::choices();
    for caps in zoo::devices() {
        for (name, tape) in zoo::tapes() {
            for choices in &choices {
                add(zoo::plan(&tape, &caps, choices).unwrap_or_else(|error| panic!("{name}: {error}")));
            }
        }
        for (tape, choices) in zoo::tiles(&caps) {
            add(zoo::plan(&tape, &caps, &choices).unwrap_or_else(|error| panic!("{choices:?}: {error}")));
        }
    }
    // No plan has these; the test of the measurement sees that their params are right.
    kernels.extend(tilegrad::gpu::Peak::kernels().map(|kernel| (kernel, Vec::new())));
    kernels.into_iter().map(|(kernel, steps)| link(kernel, steps)).collect()
});

/// [`KERNELS`], or a panic with the reason why there are none.
pub fn kernels() -> &'static [Linked] {
    KERNELS.as_ref().unwrap_or_else(|fault| panic!("{fault}"))
}

fn link(kernel: Kernel, steps: Vec<Step>) -> Result<Linked, String> {
    let text = kernel.link();
    let module = naga::front::wgsl::parse_str(&text)
        .map_err(|error| format!("{}: {}", kernel.name, error.emit_to_string(&text)))?;
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SUBGROUP, kernel.subgroups);
    capabilities.set(Capabilities::SHADER_FLOAT16, kernel.f16);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| format!("{}: {}", kernel.name, error.emit_to_string(&text)))?;
    Ok(Linked { kernel, module, info, steps })
}

impl Linked {
    /// The module's variables that the entry point uses.
    fn used(&self) -> impl Iterator<Item = &GlobalVariable> {
        let uses = self.info.get_entry_point(0);
        self.module
            .global_variables
            .iter()
            .filter(|(handle, _)| !uses[*handle].is_empty())
            .map(|(_, variable)| variable)
    }

    fn label(&self) -> String {
        let constants: Vec<String> = self.kernel.constants.iter().map(|(name, v)| format!("{name}={v:?}")).collect();
        let files: Vec<&str> = self.kernel.sources.iter().map(|source| source.file).collect();
        format!("{} [{}] of {}", self.kernel.name, constants.join(" "), files.join(" + "))
    }
}

/// The storage variables that a kernel may write.
pub fn written(kernel: &Kernel) -> BTreeSet<String> {
    let linked = link(kernel.clone(), Vec::new()).unwrap_or_else(|fault| panic!("{fault}"));
    let writable = |v: &&GlobalVariable| match v.space {
        AddressSpace::Storage { access } => access.contains(StorageAccess::STORE),
        _ => false,
    };
    linked.used().filter(writable).filter_map(|variable| variable.name.clone()).collect()
}

/// The files of shaders/, by their path below it.
pub fn files() -> BTreeMap<String, String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = BTreeMap::new();
    for folder in std::fs::read_dir(&root).expect("shaders/ is there") {
        let folder = folder.expect("it can be listed").path();
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{}: shaders/ has folders only", folder.display()))
        {
            let path = entry.expect("it can be listed").path();
            let name = path.strip_prefix(&root).expect("it is below").to_string_lossy().replace('\\', "/");
            files.insert(name, std::fs::read_to_string(&path).expect("it is text"));
        }
    }
    files
}

/// WGSL without its line comments; there are no others.
pub fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_zoo_has_every_algorithm() {
    let names: BTreeSet<&str> = kernels().iter().map(|linked| linked.kernel.name).collect();
    for product in ["conv2d", "conv2d_grad_input", "conv2d_grad_weight", "matmul"] {
        for algorithm in ["direct", "workgroup", "subgroup8"] {
            assert!(names.contains(format!("{product}/{algorithm}").as_str()), "{product}/{algorithm} of {names:?}");
        }
    }
    for few in ["conv2d/few_channels", "conv2d_grad_weight/few_channels"] {
        assert!(names.contains(few), "{few} of {names:?}");
    }
    for product in ["conv2d", "conv2d_grad_input"] {
        for transform in ["weight", "input", "output"] {
            let name = format!("{product}/winograd_{transform}");
            assert!(names.contains(name.as_str()), "{name} of {names:?}");
        }
    }
}

#[test]
fn every_file_is_used_and_says_what_it_is() {
    let used: BTreeSet<&str> = kernels().iter().flat_map(|l| &l.kernel.sources).map(|source| source.file).collect();
    for (file, text) in files() {
        assert!(used.contains(file.as_str()) || file == BINDINGS, "no kernel uses shaders/{file}");
        assert!(text.starts_with("// "), "shaders/{file} does not start with a comment");
        let code = code(&text);
        assert!(!code.contains("arrayLength"), "shaders/{file}: bindings are parts of buffers, arrayLength misleads");
        assert!(!code.contains("enable "), "shaders/{file}: the linked header has the enable lines");
        assert!(!code.contains("/*"), "shaders/{file}: comments are line comments");
        let by_bits =
            file == "lib/nan.wgsl" || !["0x7f8", "0xff8", "0x7fc", "0x7fff"].iter().any(|bits| code.contains(bits));
        assert!(by_bits, "shaders/{file}: lib/nan.wgsl has what tells NaN and infinities by their bits");
        // Barriers stand at an entry point's top level, one invocation has no number, and the two that are named say why.
        let own = code.contains("workgroupBarrier") || code.contains("@workgroup_size(1)");
        let entry = file.starts_with("lib/")
            || own
            || ["conv2d/few_channels.wgsl", "measure/multiply_add.wgsl"].contains(&file.as_str());
        assert!(entry || !code.contains("@compute"), "shaders/{file}: the entry point is that of lib/each.wgsl");
    }
}

/// The table of the bindings' numbers, which is a part of every kernel.
pub const BINDINGS: &str = "lib/bindings.wgsl";

/// The names in the table are those of the variables in capitals, and there are no others.
#[test]
fn numbers_of_bindings_stand_in_one_table() {
    let files = files();
    let table = code(&files[BINDINGS]);
    let mut rows: Vec<(&str, u32)> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        let row = line.strip_prefix("const ").and_then(|row| row.strip_suffix(";")?.split_once(": u32 = "));
        let (name, number) = row.unwrap_or_else(|| panic!("shaders/{BINDINGS}: \"{line}\""));
        rows.push((name, number.parse().unwrap_or_else(|_| panic!("shaders/{BINDINGS}: \"{line}\""))));
    }
    let numbers: Vec<u32> = rows.iter().map(|&(_, number)| number).collect();
    let expected: Vec<u32> = (1..).take(rows.len()).collect();
    assert_eq!(numbers, expected, "shaders/{BINDINGS}: numbers go up by one from 1; 0 is params");
    let mut used = BTreeSet::new();
    for (file, text) in &files {
        for line in code(text).lines().filter(|line| line.contains("@binding")) {
            let parts = line.strip_prefix("@group(0) @binding(").and_then(|rest| rest.split_once(") var<"));
            let variable = line.split_once("> ").and_then(|(_, rest)| Some(rest.split_once(": ")?.0));
            let (Some((name, _)), Some(variable)) = (parts, variable) else { panic!("shaders/{file}: \"{line}\"") };
            let fits = name == variable.to_uppercase() && rows.iter().any(|&(row, _)| row == name);
            assert!(fits, "shaders/{file}: {variable} is at {name}, not at a row of {BINDINGS} of its own name");
            used.insert(name.to_string());
        }
    }
    let unused: Vec<&str> = rows.iter().map(|&(name, _)| name).filter(|&name| !used.contains(name)).collect();
    assert_eq!(unused, [""; 0], "shaders/{BINDINGS}: no file has a variable of that name");
}

#[test]
fn kernels_stay_within_the_default_limits() {
    let caps = Caps::webgpu(DeviceClass::Software);
    for linked in kernels() {
        let label = linked.label();
        assert_eq!(linked.module.entry_points.len(), 1, "{label}: one entry point");
        let entry = &linked.module.entry_points[0];
        assert_eq!((entry.name.as_str(), entry.stage), ("main", ShaderStage::Compute), "{label}");
        let [x, y, z] = entry.workgroup_size;
        assert!(x <= caps.max_invocations && [y, z] == [1, 1], "{label}: workgroups lie along x, {x} {y} {z}");
        let storage = linked.used().filter(|v| matches!(v.space, AddressSpace::Storage { .. })).count();
        assert!(storage as u32 <= caps.max_storage_buffers, "{label}: {storage} storage buffers");
        let of_workgroup = linked.used().filter(|variable| variable.space == AddressSpace::WorkGroup);
        let size =
            |v: &GlobalVariable| linked.module.types[v.ty].inner.size(linked.module.to_ctx()).next_multiple_of(16);
        let memory: u32 = of_workgroup.map(size).sum();
        assert!(memory <= caps.max_workgroup_memory, "{label}: {memory} bytes of workgroup memory");
    }
}

#[test]
fn the_host_and_the_shader_agree_on_params() {
    for linked in kernels() {
        let label = linked.label();
        let uniform: Vec<&GlobalVariable> = linked.used().filter(|v| v.space == AddressSpace::Uniform).collect();
        // A kernel whose operands say everything has no params.
        if linked.kernel.params.is_empty() && uniform.is_empty() {
            continue;
        }
        let [params] = uniform.as_slice() else { panic!("{label}: {} uniform buffers", uniform.len()) };
        assert_eq!(params.name.as_deref(), Some("params"), "{label}");
        let TypeInner::Struct { members, span } = &linked.module.types[params.ty].inner else {
            panic!("{label}: params is no struct");
        };
        let shader: Vec<(&str, usize)> =
            members.iter().map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize)).collect();
        let host: Vec<(&str, usize)> = linked.kernel.params.iter().map(|field| (field.name, field.offset)).collect();
        assert_eq!(host, shader, "{label}: the host's fields, and the shader's");
        for step in &linked.steps {
            assert_eq!(step.params.len(), *span as usize, "{label}: bytes of params");
        }
    }
}

#[test]
fn every_binding_is_bound_and_used() {
    for linked in kernels() {
        let label = linked.label();
        let bound = |v: &&GlobalVariable| matches!(v.space, AddressSpace::Storage { .. });
        let storage: Vec<&GlobalVariable> = linked.used().filter(bound).collect();
        let names: BTreeSet<&str> = storage.iter().map(|v| v.name.as_deref().unwrap_or_default()).collect();
        let numbers: BTreeSet<(u32, u32)> =
            linked.used().filter_map(|v| v.binding.as_ref()).map(|binding| (binding.group, binding.binding)).collect();
        let params = usize::from(!linked.kernel.params.is_empty());
        assert_eq!(numbers.len(), storage.len() + params, "{label}: two variables have one binding");
        assert!(numbers.iter().all(|(group, _)| *group == 0), "{label}: there is one bind group");
        for step in &linked.steps {
            let host: BTreeSet<&str> = step.bindings.iter().map(|(name, _)| *name).collect();
            assert_eq!(host.len(), step.bindings.len(), "{label}: a name is bound twice");
            assert_eq!(host, names, "{label}: what the host binds, and what the shader uses");
        }
    }
}

#[test]
fn kernels_that_change_what_they_read_are_known() {
    let changes = |linked: &&Linked| !tilegrad::gpu::reflect(&linked.kernel).unwrap().idempotent;
    let names: BTreeSet<&str> = kernels().iter().filter(changes).map(|linked| linked.kernel.name).collect();
    let known = [
        "accumulate",
        "accumulate_grad",
        "batch_norm2d",
        "batch_norm2d/statistics",
        "confusion",
        "count_updates",
        "relu",
        "sgd",
        "sigmoid",
        "tanh",
    ];
    assert_eq!(names, BTreeSet::from(known));
    // A product does so only where it adds to what an earlier piece gave.
    let mut products = kernels().iter().filter(|linked| linked.kernel.name.starts_with("matmul/"));
    let mut kernel = products.next().expect("there are products").kernel.clone();
    let adds = kernel.constants.iter_mut().find(|(name, _)| *name == "ACCUMULATE").expect("a product has it");
    assert_eq!(adds.1, HeaderConstant::Bool(false));
    adds.1 = HeaderConstant::Bool(true);
    assert!(!tilegrad::gpu::reflect(&kernel).unwrap().idempotent);
}

#[test]
fn all_invocations_reach_every_barrier() {
    for linked in kernels() {
        if let Some(fault) = barriers::fault(&linked.module, &linked.info) {
            panic!("{}: {fault}", linked.label());
        }
    }
}

#[test]
fn subgroups_are_used_only_among_exactly_eight_lanes_of_a_software_device() {
    for linked in kernels() {
        let sources = linked.kernel.sources.iter();
        let uses = sources.map(|source| code(source.text)).any(|text| text.contains("subgroup"));
        assert_eq!(linked.kernel.subgroups, uses, "{}: the flag, and the text", linked.label());
    }
    let shuffles = |class, subgroups| {
        let caps = Caps { subgroups, ..Caps::webgpu(class) };
        let choices = Choices::everywhere("subgroup8");
        let plan = zoo::plan(&zoo::lenet(4), &caps, &choices).unwrap();
        plan.steps.iter().any(|step| step.kernel.subgroups)
    };
    assert!(shuffles(DeviceClass::Software, Some((8, 8))));
    for (class, subgroups) in [
        (DeviceClass::Software, None),
        (DeviceClass::Software, Some((4, 4))),
        (DeviceClass::Software, Some((4, 8))),
        (DeviceClass::Software, Some((8, 16))),
        (DeviceClass::Integrated, Some((8, 8))),
        (DeviceClass::Discrete, Some((32, 32))),
    ] {
        assert!(!shuffles(class, subgroups), "{class:?} with subgroups of {subgroups:?}");
    }
}

/// Whether spirv-val can be run.
fn has_spirv_val() -> bool {
    let found = Command::new("spirv-val").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// What spirv-val has against these words.
fn spirv_faults(words: &[u32]) -> Option<String> {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spirv-val starts");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    child.stdin.take().expect("it is piped").write_all(&bytes).expect("spirv-val reads");
    let output = child.wait_with_output().expect("spirv-val ends");
    let message = || [output.stdout.clone(), output.stderr.clone()].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&message()).into_owned())
}

/// The policies of a module that wgpu checks at run time, and of one that it trusts.
fn policies(checked: bool) -> BoundsCheckPolicies {
    let policy = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, binding_array: policy }
}

#[test]
fn kernels_translate_to_spirv() {
    let validate = has_spirv_val();
    if !validate {
        println!("spirv-val (of SPIRV-Tools) is not installed: the SPIR-V is written but not validated");
    }
    let pipeline = naga::back::spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    for linked in kernels() {
        for checked in [true, false] {
            let options = naga::back::spv::Options {
                lang_version: (1, 3),
                fake_missing_bindings: true,
                bounds_check_policies: policies(checked),
                force_loop_bounding: checked,
                ..Default::default()
            };
            let words = naga::back::spv::write_vec(&linked.module, &linked.info, &options, Some(&pipeline))
                .unwrap_or_else(|error| panic!("{}: {error}", linked.label()));
            if let Some(fault) = validate.then(|| spirv_faults(&words)).flatten() {
                panic!("{}, checked {checked}: {fault}", linked.label());
            }
        }
    }
}

#[test]
fn kernels_translate_to_msl() {
    for linked in kernels() {
        for checked in [true, false] {
            let options = naga::back::msl::Options {
                lang_version: if linked.kernel.subgroups { (2, 4) } else { (2, 0) },
                fake_missing_bindings: true,
                bounds_check_policies: policies(checked),
                force_loop_bounding: checked,
                ..Default::default()
            };
            let result = naga::back::msl::write_string(&linked.module, &linked.info, &options, &Default::default());
            let (text, translation) = result.unwrap_or_else(|error| panic!("{}: {error}", linked.label()));
            let [Ok(entry)] = translation.entry_point_names.as_slice() else {
                panic!("{}: {:?}", linked.label(), translation.entry_point_names);
            };
            assert!(text.contains(&format!("kernel void {entry}(")), "{}", linked.label());
        }
    }
}

#[test]
fn kernels_translate_to_hlsl() {
    use naga::back::hlsl::{Options, ShaderModel, Writer};
    for linked in kernels() {
        let options = Options {
            shader_model: match &linked.kernel {
                kernel if kernel.f16 => ShaderModel::V6_2,
                kernel if kernel.subgroups => ShaderModel::V6_0,
                _ => ShaderModel::V5_1,
            },
            fake_missing_bindings: true,
            ..Default::default()
        };
        let (mut text, pipeline) = (String::new(), Default::default());
        let result = Writer::new(&mut text, &options, &pipeline).write(&linked.module, &linked.info, None);
        let reflection = result.unwrap_or_else(|error| panic!("{}: {error}", linked.label()));
        assert!(matches!(reflection.entry_point_names.as_slice(), [Ok(_)]), "{}", linked.label());
        assert!(text.contains("[numthreads("), "{}", linked.label());
    }
}

#[test]
fn kernels_without_subgroups_and_f16_translate_to_glsl_es() {
    use naga::back::glsl::{Options, PipelineOptions, Version, Writer};
    let options = Options { version: Version::new_gles(310), ..Default::default() };
    let pipeline = PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into(), multiview: None };
    for linked in kernels().iter().filter(|linked| !linked.kernel.subgroups && !linked.kernel.f16) {
        let mut text = String::new();
        let result = Writer::new(&mut text, &linked.module, &linked.info, &options, &pipeline, policies(true))
            .and_then(|mut writer| writer.write());
        result.unwrap_or_else(|error| panic!("{}: {error}", linked.label()));
        assert!(text.starts_with("#version 310 es"), "{}", linked.label());
    }
}

/// How many bytes of variables the calls in and below `function` hand on by pointer, each counted where it stands.
fn handed_on(module: &Module, function: &naga::Function) -> u64 {
    let size = |ty| u64::from(module.types[ty].inner.size(module.to_ctx()));
    let calls = barriers::calls(&function.body).into_iter();
    calls
        .map(|(callee, arguments)| {
            let own = arguments.iter().map(|&argument| match &function.expressions[argument] {
                naga::Expression::LocalVariable(local) => size(function.local_variables[*local].ty),
                naga::Expression::FunctionArgument(i) => match module.types[function.arguments[*i as usize].ty].inner {
                    TypeInner::Pointer { base, .. } => size(base),
                    _ => 0,
                },
                _ => 0,
            });
            own.sum::<u64>() + handed_on(module, &module.functions[callee])
        })
        .sum()
}

/// GLSL and HLSL have no pointers: what is handed on by one is copied in and out at every call, and a compiler that inlines
/// calls and unrolls loops drowns in copies. The products of vectors hand on 14 KiB, and compile in a second.
#[test]
fn no_kernel_hands_on_more_than_compilers_can_copy() {
    for linked in kernels() {
        let bytes = handed_on(&linked.module, &linked.module.entry_points[0].function);
        assert!(bytes <= 16 << 10, "{bytes} bytes: {}", linked.label());
    }
}
