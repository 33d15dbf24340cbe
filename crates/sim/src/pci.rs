//! PCI buses: which slots there are, what sits in them, and `query-pci`.

use std::collections::BTreeMap;

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::config::Version;
use crate::refusal::generic;

/// The slots of a bus.
pub(crate) const SLOTS: u8 = 32;

/// The functions of a slot.
const FUNCTIONS: u8 = 8;

/// How a bus asks the guest to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hotplug {
    /// Through ACPI.
    Acpi,
    /// By the attention button of the port.
    Native,
    /// By no button: the port is `hotplug=off`, which it says itself.
    NativeOff,
}

/// What a function is, as `query-pci` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) vendor: u16,
    pub(crate) device: u16,
    pub(crate) class: u16,
    pub(crate) desc: Option<&'static str>,
}

/// A function in a slot.
#[derive(Debug)]
pub(crate) struct Function {
    /// The QOM type.
    pub(crate) model: &'static str,
    pub(crate) id: Option<String>,
    pub(crate) path: String,
    pub(crate) facts: Facts,
    /// The bus behind it, if it is a bridge.
    pub(crate) bus: Option<usize>,
    /// As which child of the bus QOM shows it.
    pub(crate) child: u64,
}

#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) name: String,
    /// The QOM path.
    pub(crate) path: String,
    pub(crate) hotplug: Option<Hotplug>,
    /// Whether an express port is above it, which has one slot that works.
    is_below_port: bool,
    functions: BTreeMap<u8, Function>,
    children: u64,
}

/// All PCI buses; the root is the first.
#[derive(Debug)]
pub(crate) struct Pci {
    buses: Vec<Bus>,
    version: Version,
}

impl Pci {
    pub(crate) fn new(version: Version) -> Self {
        Self { buses: Vec::new(), version }
    }

    pub(crate) fn add_bus(
        &mut self,
        name: &str,
        path: String,
        hotplug: Option<Hotplug>,
        is_below_port: bool,
    ) -> usize {
        let functions = BTreeMap::new();
        let name = name.to_owned();
        self.buses.push(Bus { name, path, hotplug, is_below_port, functions, children: 0 });
        self.buses.len() - 1
    }

    pub(crate) fn bus(&self, at: usize) -> &Bus {
        &self.buses[at]
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.buses.iter().position(|bus| !bus.name.is_empty() && bus.name == name)
    }

    pub(crate) fn find_path(&self, path: &str) -> Option<&Bus> {
        self.buses.iter().find(|bus| bus.path == path)
    }

    /// Where a device goes that wants to go to `address` (slot and function), or anywhere.
    pub(crate) fn place(
        &self,
        bus: usize,
        address: Option<(u8, u8)>,
        model: &str,
        is_hotplug: bool,
    ) -> Result<u8, ErrorReply> {
        let bus = &self.buses[bus];
        let Some((slot, function)) = address else {
            let free = (0..SLOTS).find(|slot| !bus.functions.contains_key(&(slot * FUNCTIONS)));
            let Some(free) = free else {
                let reserved = if self.version < Version::V7_2 { "" } else { " or reserved" };
                return Err(generic(format!(
                    "PCI: no slot/function available for {model}, all in use{reserved}"
                )));
            };
            // QEMU 10.0 asks whether the guest knows the slot before the slot is chosen: of the
            // last one of the bus, or the only one of a port.
            if self.version >= Version::V10_0 && is_hotplug {
                bus.check_known(SLOTS - 1, model)?;
            }
            return Ok(free * FUNCTIONS);
        };
        let wanted = slot * FUNCTIONS + function;
        if let Some(other) = bus.functions.get(&wanted) {
            let id = other.id.as_deref().unwrap_or("(null)");
            let id = if self.version < Version::V7_2 { String::new() } else { format!(",id={id}") };
            return Err(generic(format!(
                "PCI: slot {slot} function {function} not available for {model}, in use by {}{id}",
                other.model
            )));
        }
        if is_hotplug {
            bus.check_known(slot, model)?;
        }
        let others = if function == 0 { 1..FUNCTIONS } else { 0..0 };
        let populated = |other: &u8| bus.functions.contains_key(&(wanted + other));
        match others.into_iter().find(populated) {
            Some(other) => Err(generic(format!(
                "PCI: {slot:x}.0 indicates single function, but {slot:x}.{other:x} is already \
                 populated."
            ))),
            None => Ok(wanted),
        }
    }

    /// Puts a function into its place.
    pub(crate) fn put(&mut self, bus: usize, devfn: u8, mut function: Function) {
        let bus = &mut self.buses[bus];
        function.child = bus.children;
        bus.children += 1;
        bus.functions.insert(devfn, function);
    }

    /// Makes a function the bridge to a bus.
    pub(crate) fn set_behind(&mut self, bus: usize, devfn: u8, behind: usize) {
        if let Some(function) = self.buses[bus].functions.get_mut(&devfn) {
            function.bus = Some(behind);
        }
    }

    pub(crate) fn take(&mut self, bus: usize, devfn: u8) {
        self.buses[bus].functions.remove(&devfn);
    }

    /// `query-pci`. What is behind a bridge is shown once firmware has `numbered` the buses.
    pub(crate) fn show(&self, numbered: bool) -> Value {
        let mut next = 1;
        let devices = self.show_bus(0, 0, numbered, &mut next);
        json!([{"bus": 0, "devices": devices}])
    }

    fn show_bus(&self, at: usize, number: u64, numbered: bool, next: &mut u64) -> Vec<Value> {
        let mut shown = Vec::new();
        for (devfn, function) in &self.buses[at].functions {
            let Facts { vendor, device, class, desc } = function.facts;
            let mut class_info = json!({"class": class});
            if let Some(desc) = desc {
                class_info["desc"] = json!(desc);
            }
            // QEMU of before 1.1 mixes the two up (recorded).
            let (vendor, device) = match self.version < Version::V1_2 {
                true => (device, vendor),
                false => (vendor, device),
            };
            let mut value = json!({
                "bus": number, "qdev_id": function.id.as_deref().unwrap_or(""),
                "slot": devfn / FUNCTIONS, "function": devfn % FUNCTIONS, "class_info": class_info,
                "id": {"device": device, "vendor": vendor}, "regions": [],
            });
            if self.version >= Version::V7_2 {
                value["irq_pin"] = json!(0);
            }
            if let Some(behind) = function.bus {
                let secondary = if numbered { std::mem::replace(next, *next + 1) } else { 0 };
                let devices = match numbered {
                    true => self.show_bus(behind, secondary, numbered, next),
                    false => Vec::new(),
                };
                let subordinate = if numbered { *next - 1 } else { 0 };
                let range = json!({"base": 0, "limit": 0});
                value["pci_bridge"] = json!({"bus": {
                    "number": number, "secondary": secondary, "subordinate": subordinate,
                    "io_range": range, "memory_range": range, "prefetchable_range": range,
                }});
                if numbered {
                    value["pci_bridge"]["devices"] = json!(devices);
                }
            }
            shown.push(value);
        }
        shown
    }
}

impl Bus {
    /// Whether what sits here speaks PCI Express.
    pub(crate) fn is_express(&self) -> bool {
        self.is_below_port || self.name == "pcie.0"
    }

    /// Function 0 tells the guest of a slot, so nothing can be added to one that the guest knows.
    fn check_known(&self, slot: u8, model: &str) -> Result<(), ErrorReply> {
        let first = if self.is_below_port { 0 } else { slot * FUNCTIONS };
        let Some(other) = self.functions.get(&first) else { return Ok(()) };
        Err(generic(format!(
            "PCI: slot {} function 0 already occupied by {}, new func {model} cannot be exposed to \
             guest.",
            first / FUNCTIONS,
            other.model
        )))
    }

    /// What sits here, by QOM's number of the child, with its type and path.
    pub(crate) fn children(&self) -> Vec<(u64, &'static str, &str)> {
        let mut children: Vec<_> = self
            .functions
            .values()
            .map(|function| (function.child, function.model, function.path.as_str()))
            .collect();
        children.sort_unstable();
        children
    }

    /// What sits here, the last to come first, each with its place.
    pub(crate) fn newest_first(&self) -> Vec<(u8, &Function)> {
        let mut all: Vec<_> = self.functions.iter().map(|(devfn, it)| (*devfn, it)).collect();
        all.sort_by_key(|(_, function)| std::cmp::Reverse(function.child));
        all
    }

    /// The functions that leave together with one: those of its slot, or of its port.
    pub(crate) fn leave_with(&self, devfn: u8) -> Vec<String> {
        let together = |other: &u8| {
            self.is_below_port && self.hotplug == Some(Hotplug::Native)
                || other / FUNCTIONS == devfn / FUNCTIONS
        };
        let functions = self.functions.iter().filter(|(other, _)| together(other));
        functions.map(|(_, function)| function.path.clone()).collect()
    }
}

/// Reads the `addr` of a device: a number, `slot` or `slot.function` in hexadecimal. `None` for one
/// that there is not.
pub(crate) fn address(value: &Value) -> Option<(u8, u8)> {
    if let Some(number) = value.as_u64() {
        let number = u8::try_from(number).ok()?;
        return Some((number / FUNCTIONS, number % FUNCTIONS));
    }
    let text = value.as_str()?;
    let (slot, function) = text.split_once('.').unwrap_or((text, "0"));
    let slot = slot.strip_prefix("0x").unwrap_or(slot);
    let slot = u8::from_str_radix(slot, 16).ok().filter(|slot| *slot < SLOTS)?;
    let function = u8::from_str_radix(function, 16).ok().filter(|it| *it < FUNCTIONS)?;
    Some((slot, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hexadecimal_slots() {
        assert_eq!(address(&json!("1f")), Some((31, 0)));
        assert_eq!(address(&json!("5.3")), Some((5, 3)));
        assert_eq!(address(&json!(8)), Some((1, 0)));
        for bad in [json!("20"), json!("zz"), json!("1.8"), json!(256), json!(null)] {
            assert_eq!(address(&bad), None, "{bad}");
        }
    }
}
