//! What rules ask of industrial protocols: Modbus and CIP.

/// `modbus`: all that is asked of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModbusTest {
    pub unit: Option<ModbusRange>,
    pub ask: ModbusAsk,
}

/// A question about a Modbus request besides its unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModbusAsk {
    #[default]
    Nothing,
    Function {
        code: u8,
        subfunction: Option<u16>,
    },
    /// One of these kinds of functions.
    Category(ModbusCategory),
    Access {
        write: bool,
        table: Option<ModbusTable>,
        address: Option<ModbusRange>,
        value: Option<ModbusRange>,
    },
}

/// Kinds of functions, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModbusCategory(pub u8);

impl ModbusCategory {
    pub const ASSIGNED: u8 = 1;
    pub const UNASSIGNED: u8 = 2;
    pub const USER: u8 = 4;
    pub const RESERVED: u8 = 8;
    pub const ALL: u8 = 15;
}

/// What a Modbus function reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModbusTable {
    Discretes,
    Coils,
    Input,
    Holding,
}

/// `5`, `<5`, `>5` or `5<>9`; both ends excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModbusRange {
    Exactly(u16),
    Below(u16),
    Above(u16),
    Between(u16, u16),
}

impl ModbusRange {
    /// Whether some number from `first` to `last` is meant.
    #[must_use]
    pub fn meets(self, first: u16, last: u16) -> bool {
        match self {
            ModbusRange::Exactly(number) => first <= number && number <= last,
            ModbusRange::Below(limit) => first < limit,
            ModbusRange::Above(limit) => last > limit,
            ModbusRange::Between(low, high) => last > low && first < high,
        }
    }
}

/// `cip_service`: service, class and attribute; the class is asked of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipTest {
    pub service: u8,
    pub class: Option<u16>,
    /// Whether it is there, or (`false`) is not.
    pub attribute: Option<(u16, bool)>,
}

/// DNP3's internal indications, IIN1 above IIN2, as rules and EVE name them.
pub const INDICATIONS: &[(&str, u16)] = &[
    ("all_stations", 0x0100),
    ("class_1_events", 0x0200),
    ("class_2_events", 0x0400),
    ("class_3_events", 0x0800),
    ("need_time", 0x1000),
    ("local_control", 0x2000),
    ("device_trouble", 0x4000),
    ("device_restart", 0x8000),
    ("no_func_code_support", 0x0001),
    ("object_unknown", 0x0002),
    ("parameter_error", 0x0004),
    ("event_buffer_overflow", 0x0008),
    ("already_executing", 0x0010),
    ("config_corrupt", 0x0020),
    ("reserved_2", 0x0040),
    ("reserved_1", 0x0080),
];
