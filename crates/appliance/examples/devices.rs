//! Launches an appliance, plugs images into it, and lists what it sees:
//! `cargo run -p qplug-appliance --example devices -- a.qcow2 b.img`.

use std::time::Instant;

use qplug_appliance::{Appliance, ApplianceName, Launch, NewDisk, Storage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let name = ApplianceName::new(&format!("example-{}", std::process::id()))?;
    let appliance = Appliance::launch(Launch::named(name)).await?;
    println!("ready after {:?}", start.elapsed());
    for image in std::env::args().skip(1) {
        let storage = Storage::path(image).look()?;
        appliance.add_disk(NewDisk { label: None, storage, read_only: false }).await?;
    }
    for device in appliance.list_devices().await? {
        println!("{} {} bytes", device.label.unwrap_or_default(), device.bytes);
    }
    println!("listed after {:?}", start.elapsed());
    appliance.down().await?;
    Ok(())
}
