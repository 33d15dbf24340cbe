//! Whether KVM works here is found out, not assumed.

use std::time::Instant;

use qplug_testbed::{Qemu, accel};

#[test]
fn the_answer_is_remembered() {
    for qemu in Qemu::under_test("kvm") {
        let first = accel::usable_kvm(&qemu);
        let began = Instant::now();
        assert_eq!(accel::usable_kvm(&qemu), first);
        println!("kvm with {}: {first}, again in {:?}", qemu.version, began.elapsed());
    }
}
