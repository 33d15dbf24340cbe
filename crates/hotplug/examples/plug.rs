//! Connects to a machine, plugs a disk in, waits for the guest to see it, and pulls it out again.
//!
//! cargo run --example plug -- /run/vm1.qmp data.qcow2

use std::time::Duration;

use qplug_hotplug::{Detached, Disk, Machine};
use qplug_qmp::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (socket, image) = (std::env::args().nth(1), std::env::args().nth(2));
    let socket = socket.ok_or("usage: plug SOCKET IMAGE")?;
    let machine = Machine::new(Client::connect(&socket.parse()?).await?);

    let disk = Disk::named("data")?.image(image.ok_or("usage: plug SOCKET IMAGE")?)?;
    let name = disk.name().clone();
    let attached = machine.attach(disk).await?;
    println!("attached: the guest finds it at {}", attached.guest_path);
    tokio::time::sleep(Duration::from_secs(1)).await;

    match machine.detach(&name, Machine::DETACH_TIMEOUT).await? {
        Detached::Removed { .. } => println!("detached"),
        Detached::Refused => println!("the guest keeps it"),
        Detached::Pending => println!("asked, and not answered yet"),
    }
    Ok(())
}
