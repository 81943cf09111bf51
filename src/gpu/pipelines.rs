//! Linking: from a kernel's files to a pipeline, with the bindings and the workgroup size read off the module by naga.

use super::failure::typed;
use crate::error::{Error, Result};
use crate::kernel::{HeaderConstant, Kernel};

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform buffer.
    Uniform,
    /// A storage buffer that is only read.
    Read,
    /// A storage buffer that is written.
    ReadWrite,
}

/// What a linked kernel says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reflection {
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Name, binding number and use of each variable that the entry point uses.
    pub bindings: Vec<(String, u32, Access)>,
    /// Name and offset of each field of the uniform `params`.
    pub fields: Vec<(String, u32)>,
    /// Whether another run on the same inputs changes nothing: no variable that it writes is read.
    pub idempotent: bool,
}

/// Parses, validates and reflects a kernel; needs no device.
pub fn reflect(kernel: &Kernel) -> Result<Reflection> {
    let text = kernel.link();
    let fail = |message: String| Error::Validation(format!("kernel \"{}\": {message}", kernel.name));
    let module = naga::front::wgsl::parse_str(&text).map_err(|error| fail(error.emit_to_string(&text)))?;
    let mut capabilities = naga::valid::Capabilities::empty();
    capabilities.set(naga::valid::Capabilities::SUBGROUP, kernel.subgroups);
    capabilities.set(naga::valid::Capabilities::SHADER_FLOAT16, kernel.f16);
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| fail(error.emit_to_string(&text)))?;
    let [entry] = module.entry_points.as_slice() else {
        return Err(fail(format!("has {} entry points, not one", module.entry_points.len())));
    };
    let uses = info.get_entry_point(0);
    let mut bindings = Vec::new();
    let mut fields = Vec::new();
    // The constant takes the reading out again, which naga does not look at.
    let adds_nothing = kernel.constants.contains(&("ACCUMULATE", HeaderConstant::Bool(false)));
    let mut idempotent = true;
    for (handle, variable) in module.global_variables.iter() {
        let (Some(binding), false) = (&variable.binding, uses[handle].is_empty()) else { continue };
        let access = match variable.space {
            naga::AddressSpace::Uniform => Access::Uniform,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => Access::ReadWrite,
            _ => Access::Read,
        };
        // Reads of what another binding writes are no question: wgpu refuses to bind one buffer in both ways.
        let reads = uses[handle].contains(naga::valid::GlobalUse::READ) && !adds_nothing;
        idempotent &= access != Access::ReadWrite || !reads;
        let name = variable.name.clone().unwrap_or_default();
        if let naga::TypeInner::Struct { members, .. } = &module.types[variable.ty].inner
            && access == Access::Uniform
        {
            fields = members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)).collect();
        }
        bindings.push((name, binding.binding, access));
    }
    Ok(Reflection { workgroup_size: entry.workgroup_size.iter().product(), bindings, fields, idempotent })
}

/// A kernel that a device has compiled.
pub(super) struct Pipeline {
    pub reflection: Reflection,
    pub layout: wgpu::BindGroupLayout,
    pub pipeline: wgpu::ComputePipeline,
}

impl Pipeline {
    /// Compiles `kernel` with or without bounds checks; the driver may take it from `cache`.
    pub fn new(
        raw: &wgpu::Device,
        cache: Option<&wgpu::PipelineCache>,
        kernel: &Kernel,
        checked: bool,
    ) -> Result<Self> {
        let reflection = reflect(kernel)?;
        let entries: Vec<wgpu::BindGroupLayoutEntry> = reflection
            .bindings
            .iter()
            .map(|(_, binding, access)| wgpu::BindGroupLayoutEntry {
                binding: *binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match access {
                        Access::Uniform => wgpu::BufferBindingType::Uniform,
                        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let label = Some(kernel.name);
        // A scope belongs to its thread: other kernels that are made at the same time have their own errors.
        let scope = raw.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(kernel.link().into()) };
        let module = match checked {
            true => raw.create_shader_module(source),
            // SAFETY: the kernel is built in. Its loops end, and its tests run it with inputs that lie between NaNs and
            // outputs that are filled with NaN, so that a read or write out of bounds would show.
            false => unsafe { raw.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) },
        };
        let pipeline = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(typed(error)),
            None => Ok(Pipeline { reflection, layout, pipeline }),
        }
    }
}
