// The params of an elementwise kernel without attributes: how many E there are.

struct Params { len: u32 }
