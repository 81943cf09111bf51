//! From a kernel to what drivers are handed: naga with the options that wgpu-hal 30.0.1 passes for modules that are trusted, and
//! for pipelines whose workgroup memory is not zeroed (as `src/gpu/pipelines.rs` makes them).

use naga::back::{hlsl, pipeline_constants, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ResourceBinding, ShaderStage};
use tilegrad::gpu::{Access, reflect};
use tilegrad::kernel::Kernel;

/// A kernel as naga has read it.
pub struct Translator {
    module: Module,
    info: ModuleInfo,
    /// Number and use of each binding, by number.
    pub bindings: Vec<(u32, Access)>,
}

const ENTRY: &str = "main";

impl Translator {
    /// Reads the kernel.
    pub fn new(kernel: &Kernel) -> Self {
        let text = kernel.link();
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
        let capabilities = if kernel.subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
        let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module).unwrap();
        let reflection = reflect(kernel).unwrap();
        let mut bindings: Vec<_> = reflection.bindings.iter().map(|&(_, number, access)| (number, access)).collect();
        bindings.sort_by_key(|&(number, _)| number);
        Translator { module, info, bindings }
    }

    /// Its SPIR-V for a device of that version of Vulkan; binding number i is the i-th of `bindings`.
    pub fn spirv(&self, (major, minor): (u32, u32)) -> Result<Vec<u32>, String> {
        let stage = Some((ShaderStage::Compute, ENTRY));
        let (module, info) =
            pipeline_constants::process_overrides(&self.module, &self.info, stage, &Default::default())
                .map_err(|error| error.to_string())?;
        let place = |(i, &(binding, _)): (usize, &(u32, Access))| {
            let info = spv::BindingInfo { descriptor_set: 0, binding: i as u32, binding_array_size: None };
            (ResourceBinding { group: 0, binding }, info)
        };
        let unchecked = BoundsCheckPolicy::Unchecked;
        let options = spv::Options {
            lang_version: match (major, minor) {
                (1, 0) => (1, 0),
                (1, 1) => (1, 3),
                (1, 2) => (1, 5),
                _ => (1, 6),
            },
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            fake_missing_bindings: false,
            binding_map: self.bindings.iter().enumerate().map(place).collect(),
            // Those that wgpu allows without features, and with subgroups.
            capabilities: Some(
                [
                    spv::Capability::Shader,
                    spv::Capability::Matrix,
                    spv::Capability::Sampled1D,
                    spv::Capability::Image1D,
                    spv::Capability::ImageQuery,
                    spv::Capability::DerivativeControl,
                    spv::Capability::StorageImageExtendedFormats,
                    spv::Capability::GroupNonUniform,
                    spv::Capability::GroupNonUniformVote,
                    spv::Capability::GroupNonUniformArithmetic,
                    spv::Capability::GroupNonUniformBallot,
                    spv::Capability::GroupNonUniformShuffle,
                    spv::Capability::GroupNonUniformShuffleRelative,
                    spv::Capability::GroupNonUniformQuad,
                ]
                .into_iter()
                .collect(),
            ),
            bounds_check_policies: BoundsCheckPolicies {
                index: unchecked,
                buffer: unchecked,
                image_load: unchecked,
                binding_array: unchecked,
            },
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: ENTRY.into() };
        spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|error| error.to_string())
    }

    /// Its HLSL of shader model 6.0, and the entry point's name there.
    pub fn hlsl(&self) -> Result<(String, String), String> {
        let stage = Some((ShaderStage::Compute, ENTRY));
        let (module, info) =
            pipeline_constants::process_overrides(&self.module, &self.info, stage, &Default::default())
                .map_err(|error| error.to_string())?;
        // Registers are counted by kind.
        let mut next = [0; 3];
        let mut register = |kind: usize| {
            next[kind] += 1;
            hlsl::BindTarget { register: next[kind] - 1, ..Default::default() }
        };
        let place =
            |&(binding, access): &(u32, Access)| (ResourceBinding { group: 0, binding }, register(access as usize));
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            fake_missing_bindings: false,
            binding_map: self.bindings.iter().map(place).collect(),
            special_constants_binding: Some(register(Access::Uniform as usize)),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY.into())) };
        let mut text = String::new();
        let mut reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .map_err(|error| error.to_string())?;
        match reflection.entry_point_names.pop() {
            Some(Ok(entry)) => Ok((text, entry)),
            other => Err(format!("its entry point is {other:?}")),
        }
    }
}
