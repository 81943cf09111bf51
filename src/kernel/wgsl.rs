//! Kernels as data: the files to concatenate and the header before them.

use super::params::{Field, Params};

/// A WGSL file, embedded in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Path, below `shaders/` for the library's own files.
    pub file: &'static str,
    /// Text of the file.
    pub text: &'static str,
    /// True for the library's own files, which may run without bounds checks.
    pub(crate) builtin: bool,
}

impl Source {
    /// Creates a custom file. Kernels with custom files keep their bounds checks.
    pub const fn new(file: &'static str, text: &'static str) -> Self {
        Source { file, text, builtin: false }
    }
}

/// The WGSL file of `shaders/` at this path, as a [`Source`].
macro_rules! source {
    ($file:literal) => {
        $crate::kernel::Source {
            builtin: true,
            ..$crate::kernel::Source::new($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file)))
        }
    };
}
pub(crate) use source;

/// Binding numbers of the library's variables, by name.
const BINDINGS: Source = source!("lib/bindings.wgsl");

/// A value in the generated header before a kernel's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeaderConstant {
    /// `const NAME: u32 = ..;`
    U32(u32),
    /// `const NAME: bool = ..;`
    Bool(bool),
    /// `alias NAME = T;` or, for 4, `alias NAME = vec4<T>;`. NAMEU, NAMEBOOL and NAMEACC are the same for u32, bool and
    /// ACC; NAME_LEN is the count.
    Elements(u32),
    /// The same, and NAME_four, which joins several NAME to a vector of four, and NAME_parts, which splits it again.
    Parts(u32),
}

/// A kernel as data: the files to concatenate and the constants of its header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kernel {
    /// Name in printouts: operation, product and algorithm.
    pub name: &'static str,
    /// The files in reading order, which WGSL ignores.
    pub sources: Vec<Source>,
    /// Constants of the header.
    pub constants: Vec<(&'static str, HeaderConstant)>,
    /// Fields of the uniform `params`.
    pub params: &'static [Field],
    /// True if it uses the subgroup built-ins.
    pub subgroups: bool,
    /// True for half precision, where T and ACC are f16, on devices that support it.
    pub f16: bool,
}

impl Kernel {
    /// Creates a kernel of these files, without constants.
    pub fn new(name: &'static str, sources: &[Source]) -> Self {
        Kernel { name, sources: sources.to_vec(), constants: Vec::new(), params: &[], subgroups: false, f16: false }
    }

    /// Sets the params to `P`, as [`Dispatch::new`](super::Dispatch::new) does.
    pub fn params<P: Params>(self) -> Self {
        Kernel { params: P::FIELDS, ..self }
    }

    /// Adds `const NAME: u32` to the header.
    pub fn constant(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, HeaderConstant::U32(value)));
        self
    }

    /// Adds `const NAME: bool` to the header.
    pub fn flag(mut self, name: &'static str, value: bool) -> Self {
        self.constants.push((name, HeaderConstant::Bool(value)));
        self
    }

    /// Adds `alias E` to the header: the elements that one invocation of an elementwise kernel owns, one or a vector of
    /// four.
    pub fn elements(mut self, count: u32) -> Self {
        self.constants.push(("E", HeaderConstant::Elements(count)));
        self
    }

    /// Adds `alias E`, and the functions that split a vector of four into E and join it again.
    pub fn parts(mut self, count: u32) -> Self {
        self.constants.push(("E", HeaderConstant::Parts(count)));
        self
    }

    /// Adds files, such as an epilogue. A file that is already there is not added twice.
    pub fn with(mut self, sources: &[Source]) -> Self {
        for source in sources {
            if !self.sources.contains(source) {
                self.sources.push(*source);
            }
        }
        self
    }

    /// True if all its files are the library's own.
    pub(crate) fn is_builtin(&self) -> bool {
        self.sources.iter().all(|source| source.builtin)
    }

    /// Links the whole WGSL text: the header, then the files, including the table of binding numbers for the library's
    /// own.
    pub fn link(&self) -> String {
        // T is the storage type and ACC the accumulator type. Half precision changes this line, not the kernels.
        let mut text = String::from(match self.f16 {
            true => "enable f16;\nalias T = f16;\nalias ACC = f16;\n",
            false => "alias T = f32;\nalias ACC = f32;\n",
        });
        for (name, value) in &self.constants {
            match value {
                HeaderConstant::U32(value) => text += &format!("const {name}: u32 = {value}u;\n"),
                HeaderConstant::Bool(value) => text += &format!("const {name}: bool = {value};\n"),
                HeaderConstant::Elements(count) | HeaderConstant::Parts(count) => {
                    for (alias, of) in [("", "T"), ("U", "u32"), ("BOOL", "bool"), ("ACC", "ACC")] {
                        let vector = if *count == 1 { of.to_string() } else { format!("vec{count}<{of}>") };
                        text += &format!("alias {name}{alias} = {vector};\n");
                    }
                    text += &format!("const {name}_LEN: u32 = {count}u;\n");
                    if let HeaderConstant::Parts(count) = value {
                        text += &parts(name, *count);
                    }
                }
            }
        }
        if !self.params.is_empty() {
            let field = |field: &Field| format!("{}: {}", field.name, field.wgsl);
            let fields: Vec<String> = self.params.iter().map(field).collect();
            text += &format!("struct Params {{ {} }}\n", fields.join(", "));
            text += "@group(0) @binding(0) var<uniform> params: Params;\n";
        }
        let bindings = self.sources.iter().any(|source| source.builtin).then_some(&BINDINGS);
        for source in bindings.into_iter().chain(&self.sources) {
            text += &format!("// ---- {} ----\n{}\n", source.file, source.text);
        }
        text
    }
}

/// The functions of [`HeaderConstant::Parts`]. WGSL has no type that would let one text serve one, two and four
/// elements.
fn parts(name: &str, count: u32) -> String {
    let (mut four, mut parts) = (String::new(), String::new());
    for part in 0..4 / count {
        let of: Vec<String> = (part * count..(part + 1) * count).map(|i| format!("four[{i}]")).collect();
        four += &format!("{name}ACC(parts[{part}]), ");
        parts += &format!("parts[{part}] = {name}ACC({}); ", of.join(", "));
    }
    format!(
        "fn {name}_four(parts: array<{name}, {n}>) -> vec4<ACC> {{ return vec4<ACC>({four}); }}\n\
         fn {name}_parts(four: vec4<ACC>) -> array<{name}ACC, {n}> {{ var parts: array<{name}ACC, {n}>; {parts}return parts; }}\n",
        n = 4 / count,
    )
}
