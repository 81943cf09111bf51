//! Whether all invocations of a workgroup reach every barrier, which WGSL asks for and naga does not check. Tint, the compiler of
//! Chromium, does (`scripts/check_dawn.py`), and what it refuses is refused here.
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

/// Whether a statement of `block`, or of a function that it calls, is one of these.
fn has(module: &Module, block: &Block, of: fn(&Statement) -> bool) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Call { function, .. } => has(module, &module.functions[*function].body, of),
        other => of(other) || inner(other).into_iter().any(|block| has(module, block, of)),
    })
}

/// Whether lanes of a subgroup learn of each other, which subgroups of one workgroup do not.
fn is_subgroup(statement: &Statement) -> bool {
    use Statement::{SubgroupBallot, SubgroupCollectiveOperation, SubgroupGather};
    matches!(statement, SubgroupBallot { .. } | SubgroupCollectiveOperation { .. } | SubgroupGather { .. })
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
                let body = &self.module.functions[*function].body;
                all(arguments)
                    && self.module.global_variables.iter().all(global)
                    && !has(self.module, body, is_subgroup)
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
            let has_barrier = |block: &Block| has(self.module, block, is_barrier);
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
        struct Pair {{ a: u32, b: u32 }}
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read_write> data: array<u32>;
        @group(0) @binding(2) var<storage, read> input: array<u32>;
        var<workgroup> shared_sum: u32;
        var<workgroup> counter: atomic<u32>;
        var<private> own: u32;
        fn number(workgroup: vec3u) -> u32 {{ return workgroup.x + params.len; }}
        fn stored(i: u32) -> u32 {{ return data[i]; }}
        fn pointed(p: ptr<function, u32>) -> u32 {{ return *p; }}
        fn early(a: u32) -> u32 {{ if a > 3u {{ return 1u; }} return 2u; }}
        fn lanes(x: u32) -> u32 {{ return subgroupAdd(x); }}
        fn indirect(x: u32) -> u32 {{ return lanes(x) + 1u; }}
        fn any() -> u32 {{ return select(1u, 2u, subgroupAny(true)); }}
        fn wait() {{ workgroupBarrier(); }}
        fn waiter() {{ wait(); }}
        @compute @workgroup_size(64)
        fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {{ {body} }}"
    );
    let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{}", error.emit_to_string(&text)));
    let flags = naga::valid::ValidationFlags::all() - naga::valid::ValidationFlags::CONTROL_FLOW_UNIFORMITY;
    let info = naga::valid::Validator::new(flags, naga::valid::Capabilities::SUBGROUP).validate(&module).unwrap();
    fault(&module, &info)
}

#[test]
fn barriers_that_all_invocations_reach() {
    let faults = REACHED.into_iter().filter_map(|body| fault_of(body).map(|fault| format!("{body}: {fault}")));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn barriers_that_some_invocations_miss() {
    let passed = MISSED.into_iter().filter(|body| fault_of(body).is_none());
    assert_eq!(passed.collect::<Vec<_>>(), [""; 0]);
}

/// Bodies that are right, by Tint (Chromium 156) too.
const REACHED: [&str; 16] = [
    "workgroupBarrier(); if local > 3u { return; }",
    "for (var i = 0u; i < params.len; i++) { workgroupBarrier(); }",
    "var end = number(workgroup); for (var i = workgroup.x; i < end; i += 4u) { workgroupBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { for (var k = local; k < 9u; k++) { data[k] = i; } workgroupBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { if i + params.len == 7u { break; } workgroupBarrier(); }",
    "for (var i = local; i < 9u; i++) { if data[i] == 1u { break; } } workgroupBarrier();",
    "if params.len == 0u { return; } workgroupBarrier();",
    "var a: array<u32, 4>; a[params.len] = 3u; for (var i = 0u; i < a[1]; i++) { workgroupBarrier(); }",
    "let p = &params; for (var i = 0u; i < (*p).len; i++) { workgroupBarrier(); }",
    "var n = 0u; loop { workgroupBarrier(); continuing { n += 1u; break if n == params.len; } }",
    "for (var i = 0u; i < 3u; i++) { switch local { case 1u: { data[1] = i; } default: {} } workgroupBarrier(); }",
    "for (var i = 0u; i < 3u; i++) { if local > 3u && data[0] == 1u { data[local] = i; } workgroupBarrier(); }",
    "for (var i = 0u; i < 3u; i++) { shared_sum = i; workgroupBarrier(); data[local] = shared_sum; }",
    "for (var i = 0u; i < early(params.len); i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < 3u; i++) { data[local] = subgroupAdd(local); workgroupBarrier(); }",
    "var n = 3u; for (var i = 0u; i < 3u; i++) { if local == i { continue; } } for (var i = 0u; i < n; i++) { workgroupBarrier(); }",
];

/// Bodies that are refused. Tint takes those with a barrier in an `if` or `switch` of one condition for all, or in a function
/// that all call, which are more trouble to follow than any kernel has been worth; it refuses all others, as naga does not.
const MISSED: [&str; 42] = [
    "if params.len > 3u { workgroupBarrier(); }",
    "switch params.len { case 1u: { workgroupBarrier(); } default: {} }",
    "wait();",
    "waiter();",
    "if local < 3u { workgroupBarrier(); }",
    "if local < 3u { wait(); }",
    "if local < 3u { waiter(); }",
    "for (var i = 0u; i < local; i++) { waiter(); }",
    "for (var i = 0u; i < local; i++) { storageBarrier(); }",
    "if local < params.len { return; } workgroupBarrier();",
    "if data[0] == 1u { return; } workgroupBarrier();",
    "switch local { case 1u: { return; } default: {} } workgroupBarrier();",
    "for (var i = local; i < 64u; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < data[0]; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < input[local]; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < shared_sum; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < own; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < stored(0u); i++) { workgroupBarrier(); }",
    "let x = atomicAdd(&counter, 1u); for (var i = 0u; i < x; i++) { workgroupBarrier(); }",
    "let x = subgroupAdd(local); for (var i = 0u; i < x; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < lanes(params.len); i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < indirect(params.len); i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < any(); i++) { workgroupBarrier(); }",
    "var x = local; for (var i = 0u; i < pointed(&x); i++) { workgroupBarrier(); }",
    "var p = Pair(params.len, local); for (var i = 0u; i < p.a; i++) { workgroupBarrier(); }",
    "var p = Pair(1u, 1u); p.b = local; for (var i = 0u; i < p.a; i++) { workgroupBarrier(); }",
    "var a = array<u32, 2>(1u, 2u); for (var i = 0u; i < a[local & 1u]; i++) { workgroupBarrier(); }",
    "let b = local < 3u; for (var i = 0u; i < select(1u, 2u, b); i++) { workgroupBarrier(); }",
    "var x = 1u; if local > 3u { x = 1u; } for (var i = 0u; i < x; i++) { workgroupBarrier(); }",
    "var end = 4u; if local == 2u { end = 5u; } for (var i = 0u; i < end; i++) { workgroupBarrier(); }",
    "var end = 4u; end += local; for (var i = 0u; i < end; i++) { workgroupBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { if local == i { break; } workgroupBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { if local == i { continue; } workgroupBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { workgroupBarrier(); if local == i { continue; } data[i] = 1u; storageBarrier(); }",
    "for (var i = 0u; i < 8u; i++) { if local == i { return; } } workgroupBarrier();",
    "for (var i = 0u; i < local; i++) { if i == 3u { return; } } workgroupBarrier();",
    "for (var i = 0u; i < 3u; i++) { for (var k = 0u; k < local; k++) { if k == 2u { return; } } workgroupBarrier(); }",
    "for (var i = 0u; i < 3u; i++) { workgroupBarrier(); for (var k = 0u; k < local; k++) { if k == 2u { return; } } }",
    "var n = 3u; for (var i = 0u; i < 3u; i++) { if local == i { break; } n += 1u; } for (; n > 0u; n--) { workgroupBarrier(); }",
    "var i = 0u; loop { if i == 3u { break; } i += 1u; if local == i { continue; } } for (; i < 5u; i++) { workgroupBarrier(); }",
    "loop { workgroupBarrier(); if local == workgroup.x { return; } }",
    "let x = workgroupUniformLoad(&shared_sum); if local == x { let y = workgroupUniformLoad(&shared_sum); }",
];
