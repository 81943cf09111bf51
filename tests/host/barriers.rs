//! Whether all invocations of a workgroup reach every barrier, which WGSL asks for and naga does not check.
//!
//! A barrier may stand at an entry point's top level, or in a loop there whose end is the same for all invocations: every
//! condition under which the loop is left is made of constants, uniform buffers, the workgroup's number, and variables that
//! hold nothing else. No invocation may have returned before, and no `if` or `switch` may stand around it.

use std::collections::{HashMap, HashSet};

use naga::valid::ModuleInfo;
use naga::{AddressSpace, Binding, Block, BuiltIn, Expression, Function, Handle, LocalVariable, Module, Statement};

/// What is wrong with the barriers of the module's only entry point, if anything is.
pub fn fault(module: &Module, info: &ModuleInfo) -> Option<String> {
    let mut walk = Walk {
        module,
        info,
        function: &module.entry_points[0].function,
        varying: HashSet::new(),
        calls: HashMap::new(),
    };
    walk.note_calls(&walk.function.body);
    // A variable that is given a varying value may make another vary, so until nothing changes.
    loop {
        let known = walk.varying.len();
        walk.note_variables(&walk.function.body, true);
        if walk.varying.len() == known {
            break;
        }
    }
    walk.check(&walk.function.body, &mut true).err()
}

/// A function and its arguments.
pub type Call<'a> = (Handle<Function>, &'a [Handle<Expression>]);

struct Walk<'a> {
    module: &'a Module,
    info: &'a ModuleInfo,
    function: &'a Function,
    /// Variables that may differ among the invocations of a workgroup.
    varying: HashSet<Handle<LocalVariable>>,
    /// The call that gives a result, by the result.
    calls: HashMap<Handle<Expression>, Call<'a>>,
}

/// The blocks inside a statement.
fn inner(statement: &Statement) -> Vec<&Block> {
    match statement {
        Statement::Block(block) => vec![block],
        Statement::If { accept, reject, .. } => vec![accept, reject],
        Statement::Switch { cases, .. } => cases.iter().map(|case| &case.body).collect(),
        Statement::Loop { body, continuing, .. } => vec![body, continuing],
        _ => Vec::new(),
    }
}

/// The calls that stand in `block`, each with its arguments.
pub fn calls(block: &Block) -> Vec<Call<'_>> {
    let mut found = Vec::new();
    for statement in block {
        if let Statement::Call { function, arguments, .. } = statement {
            found.push((*function, arguments.as_slice()));
        }
        found.extend(inner(statement).into_iter().flat_map(calls));
    }
    found
}

fn is_barrier(statement: &Statement) -> bool {
    use Statement::{ControlBarrier, MemoryBarrier, WorkGroupUniformLoad};
    matches!(statement, ControlBarrier(_) | MemoryBarrier(_) | WorkGroupUniformLoad { .. })
}

fn has_barrier(block: &Block) -> bool {
    block.iter().any(|statement| is_barrier(statement) || inner(statement).into_iter().any(has_barrier))
}

fn returns(block: &Block) -> bool {
    let leaves = |statement: &Statement| matches!(statement, Statement::Return { .. } | Statement::Kill);
    block.iter().any(|statement| leaves(statement) || inner(statement).into_iter().any(returns))
}

/// Whether `block` may leave the loop that it stands in, or go on to its next round.
fn exits(block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Break | Statement::Continue | Statement::Return { .. } | Statement::Kill => true,
        Statement::Loop { body, continuing, .. } => returns(body) || returns(continuing),
        other => inner(other).into_iter().any(exits),
    })
}

impl<'a> Walk<'a> {
    /// Whether `handle` has one value, or points to a variable that has one, for all invocations of a workgroup.
    fn uniform(&self, handle: Handle<Expression>) -> bool {
        use Expression as E;
        let all = |handles: &[Handle<Expression>]| handles.iter().all(|&handle| self.uniform(handle));
        match &self.function.expressions[handle] {
            E::Literal(_) | E::Constant(_) | E::Override(_) | E::ZeroValue(_) => true,
            E::Compose { components, .. } => all(components),
            E::Access { base, index } => all(&[*base, *index]),
            E::AccessIndex { base: one, .. }
            | E::Splat { value: one, .. }
            | E::Swizzle { vector: one, .. }
            | E::Load { pointer: one }
            | E::Unary { expr: one, .. }
            | E::As { expr: one, .. }
            | E::Relational { argument: one, .. } => self.uniform(*one),
            E::Binary { left, right, .. } => all(&[*left, *right]),
            E::Select { condition, accept, reject } => all(&[*condition, *accept, *reject]),
            E::Math { arg, arg1, arg2, arg3, .. } => {
                self.uniform(*arg) && [arg1, arg2, arg3].into_iter().flatten().all(|&arg| self.uniform(arg))
            }
            E::FunctionArgument(i) => matches!(
                self.function.arguments[*i as usize].binding,
                Some(Binding::BuiltIn(BuiltIn::WorkGroupId | BuiltIn::NumWorkGroups | BuiltIn::WorkGroupSize))
            ),
            E::GlobalVariable(global) => self.module.global_variables[*global].space == AddressSpace::Uniform,
            E::LocalVariable(local) => !self.varying.contains(local),
            E::CallResult(_) => self.calls.get(&handle).is_some_and(|(function, arguments)| {
                let uses = &self.info[*function];
                let global = |(handle, variable): (Handle<naga::GlobalVariable>, &naga::GlobalVariable)| {
                    uses[handle].is_empty() || variable.space == AddressSpace::Uniform
                };
                all(arguments) && self.module.global_variables.iter().all(global)
            }),
            _ => false,
        }
    }

    fn note_calls(&mut self, block: &'a Block) {
        for statement in block {
            if let Statement::Call { function, arguments, result: Some(result) } = statement {
                self.calls.insert(*result, (*function, arguments));
            }
            inner(statement).into_iter().for_each(|block| self.note_calls(block));
        }
    }

    /// The variable that a pointer leads into.
    fn variable(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match &self.function.expressions[pointer] {
            Expression::LocalVariable(local) => Some(*local),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.variable(*base),
            _ => None,
        }
    }

    /// Finds the variables that vary; `together` says whether all invocations come here.
    fn note_variables(&mut self, block: &'a Block, together: bool) {
        for statement in block {
            let inside = match statement {
                Statement::Store { pointer, value } => {
                    if !(together && self.uniform(*value) && self.uniform(*pointer)) {
                        self.varying.extend(self.variable(*pointer));
                    }
                    continue;
                }
                Statement::Call { arguments, .. } => {
                    let changed: Vec<_> = arguments.iter().filter_map(|&argument| self.variable(argument)).collect();
                    self.varying.extend(changed);
                    continue;
                }
                Statement::If { condition: on, .. } | Statement::Switch { selector: on, .. } => self.uniform(*on),
                Statement::Loop { .. } => !self.left_apart(statement),
                _ => true,
            };
            inner(statement).into_iter().for_each(|block| self.note_variables(block, together && inside));
        }
    }

    /// Whether the invocations may leave a loop in different rounds.
    fn left_apart(&self, statement: &Statement) -> bool {
        let Statement::Loop { body, continuing, break_if } = statement else { return false };
        break_if.is_some_and(|condition| !self.uniform(condition))
            || [body, continuing].into_iter().any(|block| self.exits_apart(block))
    }

    /// Whether an exit of the loop around `block` stands under a condition that varies.
    fn exits_apart(&self, block: &Block) -> bool {
        block.iter().any(|statement| match statement {
            Statement::If { condition: on, .. } | Statement::Switch { selector: on, .. } if !self.uniform(*on) => {
                inner(statement).into_iter().any(exits)
            }
            Statement::Loop { .. } => self.returns_apart(statement),
            other => inner(other).into_iter().any(|block| self.exits_apart(block)),
        })
    }

    /// Whether a `return` inside `statement` stands under a condition that varies.
    fn returns_apart(&self, statement: &Statement) -> bool {
        let apart = match statement {
            Statement::If { condition: on, .. } | Statement::Switch { selector: on, .. } => !self.uniform(*on),
            Statement::Loop { .. } => self.left_apart(statement),
            _ => false,
        };
        let blocks = inner(statement);
        (apart && blocks.iter().any(|block| returns(block)))
            || blocks.into_iter().flatten().any(|statement| self.returns_apart(statement))
    }

    /// Looks at every barrier of `block`; `together` becomes false where some invocations may have returned.
    fn check(&self, block: &Block, together: &mut bool) -> Result<(), String> {
        for statement in block {
            let barrier_inside = inner(statement).into_iter().any(has_barrier);
            match statement {
                _ if is_barrier(statement) && !*together => {
                    return Err("a barrier comes after a return that not all invocations take".into());
                }
                Statement::Call { function, .. } if has_barrier(&self.module.functions[*function].body) => {
                    return Err("a barrier stands in a function, not in the entry point".into());
                }
                Statement::If { .. } | Statement::Switch { .. } if barrier_inside => {
                    return Err("a barrier stands in an if or a switch".into());
                }
                Statement::Loop { .. } if barrier_inside && self.left_apart(statement) => {
                    return Err("a barrier stands in a loop that invocations may leave in different rounds".into());
                }
                _ => inner(statement).into_iter().try_for_each(|block| self.check(block, together))?,
            }
            *together &= !self.returns_apart(statement);
        }
        Ok(())
    }
}

/// The fault of an entry point with this body.
fn fault_of(body: &str) -> Option<String> {
    let text = format!(
        "struct Params {{ len: u32 }}
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read_write> data: array<u32>;
        var<workgroup> shared_sum: u32;
        fn number(workgroup: vec3u) -> u32 {{ return workgroup.x + params.len; }}
        fn stored(i: u32) -> u32 {{ return data[i]; }}
        fn wait() {{ workgroupBarrier(); }}
        @compute @workgroup_size(64)
        fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {{ {body} }}"
    );
    let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{}", error.emit_to_string(&text)));
    let flags = naga::valid::ValidationFlags::all() - naga::valid::ValidationFlags::CONTROL_FLOW_UNIFORMITY;
    let info = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty()).validate(&module).unwrap();
    fault(&module, &info)
}

#[test]
fn barriers_that_all_invocations_reach() {
    for body in [
        "workgroupBarrier(); if local > 3u { return; }",
        "for (var i = 0u; i < params.len; i++) { workgroupBarrier(); }",
        "var end = number(workgroup); for (var i = workgroup.x; i < end; i += 4u) { workgroupBarrier(); }",
        "for (var i = 0u; i < 8u; i++) { for (var k = local; k < 9u; k++) { data[k] = i; } workgroupBarrier(); }",
        "for (var i = 0u; i < 8u; i++) { if i + params.len == 7u { break; } workgroupBarrier(); }",
        "for (var i = local; i < 9u; i++) { if data[i] == 1u { break; } } workgroupBarrier();",
        "if params.len == 0u { return; } workgroupBarrier();",
    ] {
        assert_eq!(fault_of(body), None, "{body}");
    }
}

#[test]
fn barriers_that_some_invocations_miss() {
    for body in [
        "if local < 3u { workgroupBarrier(); }",
        "if params.len > 3u { workgroupBarrier(); }",
        "switch params.len { case 1u: { workgroupBarrier(); } default: {} }",
        "if local < params.len { return; } workgroupBarrier();",
        "for (var i = local; i < 64u; i++) { workgroupBarrier(); }",
        "for (var i = 0u; i < data[0]; i++) { workgroupBarrier(); }",
        "for (var i = 0u; i < stored(0u); i++) { workgroupBarrier(); }",
        "var end = 4u; if local == 2u { end = 5u; } for (var i = 0u; i < end; i++) { workgroupBarrier(); }",
        "var end = 4u; end += local; for (var i = 0u; i < end; i++) { workgroupBarrier(); }",
        "for (var i = 0u; i < 8u; i++) { if local == i { break; } workgroupBarrier(); }",
        "for (var i = 0u; i < 8u; i++) { if local == i { continue; } workgroupBarrier(); }",
        "for (var i = 0u; i < 8u; i++) { if local == i { return; } } workgroupBarrier();",
        "for (var i = 0u; i < local; i++) { if i == 3u { return; } } workgroupBarrier();",
        "let x = workgroupUniformLoad(&shared_sum); if local == x { let y = workgroupUniformLoad(&shared_sum); }",
        "wait();",
    ] {
        assert!(fault_of(body).is_some(), "{body}");
    }
}
