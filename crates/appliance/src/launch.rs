//! Launching: from a wish to a machine that answers.
//!
//! ```text
//! Launch (what is wanted) → Plan (what there is for it) → restored, or booted and saved → Appliance
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use qplug_qmp::{Address, Client, Options};

use crate::accel::Accel;
use crate::appliance::Appliance;
use crate::arguments::{DEFAULT_MEMORY_MIB, Shape, Start};
use crate::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::initramfs::Initramfs;
use crate::kernel::Kernel;
use crate::lane::Lane;
use crate::link::Agent;
use crate::process::{self, Identity, Leashed};
use crate::programs::Programs;
use crate::qemu::Qemu;
use crate::registry::{ApplianceName, Held, Place, Record, Registry};
use crate::root::Root;
use crate::saved;

/// How long a machine may take to boot; it takes three seconds where QEMU translates.
const BOOT_WITHIN: Duration = Duration::from_secs(60);

/// How long a machine may take to boot on the host's processor; it takes half a second.
const KVM_WITHIN: Duration = Duration::from_secs(5);

/// How long one that was restored may take to answer; it takes a twentieth of a second.
const RESTORE_WITHIN: Duration = Duration::from_secs(10);

/// How long a QEMU that did not come to life may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How long after its sockets a QEMU that ends may be there.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Memory that no kernel boots without, in MiB.
const MIN_MEMORY_MIB: u32 = 128;

/// An appliance that is wanted.
#[derive(Debug, Clone)]
#[must_use = "nothing is launched before start()"]
pub struct Launch {
    name: ApplianceName,
    qemu: Option<Qemu>,
    kernel: Option<PathBuf>,
    modules: Option<PathBuf>,
    agent: Option<PathBuf>,
    programs: Vec<String>,
    root: Option<Root>,
    memory_mib: u32,
    cpus: u32,
    accel: Option<Accel>,
    cold: bool,
    cache: Option<Cache>,
    registry: Option<Registry>,
}

/// What an appliance will be made of, with every file of it made.
#[derive(Debug, Clone)]
pub struct Plan {
    shape: Shape,
    /// What the initramfs is made of.
    initramfs: Key,
    /// Whether only trying tells if there is something faster than [`Accel::Tcg`].
    untried: bool,
    root: Option<Root>,
    cache: Cache,
    cold: bool,
    place: Place,
}

impl Launch {
    /// An appliance of this name.
    pub fn named(name: ApplianceName) -> Self {
        Self {
            name,
            qemu: None,
            kernel: None,
            modules: None,
            agent: None,
            programs: Vec::new(),
            root: None,
            memory_mib: DEFAULT_MEMORY_MIB,
            cpus: 1,
            accel: None,
            cold: false,
            cache: None,
            registry: None,
        }
    }

    /// With this QEMU, and not the one that [`Qemu::find`] finds.
    pub fn qemu(mut self, qemu: Option<Qemu>) -> Self {
        self.qemu = qemu;
        self
    }

    /// With this kernel, and its modules in this folder if they are not where they usually are; see
    /// [`Kernel::find`].
    pub fn kernel(mut self, image: Option<PathBuf>, modules: Option<PathBuf>) -> Self {
        (self.kernel, self.modules) = (image, modules);
        self
    }

    /// With this program as the agent, and not the one that is built in.
    pub fn agent(mut self, program: Option<PathBuf>) -> Self {
        self.agent = program;
        self
    }

    /// With these programs of the host, by name or path, and the libraries that they need.
    pub fn programs(mut self, programs: Vec<String>) -> Self {
        self.programs = programs;
        self
    }

    /// With programs that come from this disk, and not from the host.
    pub fn root(mut self, root: Option<Root>) -> Self {
        self.root = root;
        self
    }

    /// With so much memory, in MiB; 256 without a wish.
    pub fn memory_mib(mut self, memory: u32) -> Self {
        self.memory_mib = memory;
        self
    }

    /// With so many processors; one without a wish.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// On this, and not on what works here.
    pub fn accel(mut self, accel: Option<Accel>) -> Self {
        self.accel = accel;
        self
    }

    /// Boots, and neither restores a saved machine nor saves one.
    pub fn cold(mut self, cold: bool) -> Self {
        self.cold = cold;
        self
    }

    /// With made files in this cache, and not in the user's.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Among these appliances, and not those of the user.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Finds all that the appliance is made of, and makes what is not there yet: the kernel unpacked,
    /// the initramfs. Nothing is started.
    ///
    /// # Errors
    /// When something is missing on this host, or a file cannot be made.
    pub fn plan(self) -> Result<Plan> {
        if self.memory_mib < MIN_MEMORY_MIB || self.cpus == 0 {
            let text = format!("an appliance needs {MIN_MEMORY_MIB} MiB and a processor");
            return Err(Error::Wish(text));
        }
        if self.root.is_some() && !self.programs.is_empty() {
            let text = "programs come from the root disk or from this host, and not from both";
            return Err(Error::Wish(text.to_owned()));
        }
        let cache = self.cache.map_or_else(Cache::of_user, Ok)?;
        let registry = self.registry.map_or_else(Registry::of_user, Ok)?;
        let qemu = self.qemu.map_or_else(|| Qemu::find(None, &cache), Ok)?;
        let kernel = Kernel::find(self.kernel.as_deref(), self.modules.as_deref(), &cache)?;
        let init = Init::find(self.agent.as_deref())?;
        let programs = Programs::find(&self.programs)?;
        let initramfs = Initramfs::of(&init, &kernel, &programs, &cache)?;
        let accel = match self.accel {
            Some(accel) => Some(accel),
            None => Accel::known(&cache, &qemu)?,
        };
        let shape = Shape {
            qemu,
            accel: accel.unwrap_or(Accel::Tcg),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            kernel: kernel.bootable(&cache)?,
            initramfs: initramfs.path,
        };
        Ok(Plan {
            shape,
            initramfs: initramfs.key,
            untried: accel.is_none(),
            root: self.root,
            cache,
            cold: self.cold,
            place: registry.place(&self.name),
        })
    }
}

impl Plan {
    /// QEMU's command line, the program first, as a boot has it.
    #[must_use]
    pub fn command_line(&self) -> Vec<String> {
        self.shape.command_line(Start::Cold)
    }

    /// Starts the appliance, and returns when its agent answers.
    ///
    /// # Errors
    /// When one of that name runs, or it does not come to life. Nothing is left then.
    pub async fn start(mut self) -> Result<Appliance> {
        let held = self.place.claim()?;
        match Box::pin(self.start_whole_in(&held)).await {
            Ok(appliance) => Ok(appliance),
            Err(error) => {
                // Why it failed says more than why it could not be cleared away.
                let _ = held.remove();
                Err(error)
            }
        }
    }

    async fn start_whole_in(&mut self, held: &Held) -> Result<Appliance> {
        let appliance = Box::pin(self.start_in(held)).await?;
        if let Some(root) = &self.root
            && let Err(error) = Box::pin(appliance.use_root(root)).await
        {
            appliance.record().identity.kill(END_WITHIN).await?;
            return Err(error);
        }
        Ok(appliance)
    }

    async fn start_in(&mut self, held: &Held) -> Result<Appliance> {
        if self.untried {
            self.try_kvm(held).await?;
        }
        let key = saved::key(&self.shape, &self.initramfs)?;
        let saved = if self.cold { None } else { saved::find(&self.cache, &key) };
        if let Some(saved) = saved {
            match self.restore(held, &saved).await {
                Ok(appliance) => return Ok(appliance),
                Err(error) => {
                    tracing::warn!("the saved machine is of no use, and another is made: {error}");
                    saved::forget(&self.cache, &key)?;
                    held.clear()?;
                }
            }
        }
        let (running, agent) = self.boot(held, BOOT_WITHIN).await?;
        if !self.cold
            && let Err(error) = saved::save(&running.monitor, &self.cache, &key).await
        {
            // It works, and the next one boots too.
            tracing::warn!("the machine was not saved: {error}");
        }
        running.into_appliance(held, &self.shape, Start::Cold, agent)
    }

    /// Finds out whether a guest boots on the host's processor: the next launch knows.
    async fn try_kvm(&mut self, held: &Held) -> Result<()> {
        let tried =
            Self { shape: Shape { accel: Accel::Kvm, ..self.shape.clone() }, ..self.clone() };
        let boots = tried.boot(held, KVM_WITHIN).await.is_ok();
        held.clear()?;
        if boots {
            self.shape.accel = Accel::Kvm;
        }
        self.untried = false;
        self.shape.accel.remember(&self.cache, &self.shape.qemu)
    }

    async fn boot(&self, held: &Held, within: Duration) -> Result<(Running, Agent)> {
        let running = self.run(held, Start::Cold).await?;
        if let Err(error) = running.command("cont").await {
            return Err(running.explained(error, held.place()).await);
        }
        let agent = running.meet(within, held.place()).await?;
        Ok((running, agent))
    }

    async fn restore(&self, held: &Held, saved: &Path) -> Result<Appliance> {
        let running = self.run(held, Start::Saved).await?;
        saved::load(&running.monitor, saved).await?;
        let agent = running.meet(RESTORE_WITHIN, held.place()).await?;
        agent.wake().await?;
        running.into_appliance(held, &self.shape, Start::Saved, agent)
    }

    /// Starts QEMU and connects to its monitor. The guest does not run yet.
    async fn run(&self, held: &Held, start: Start) -> Result<Running> {
        let child = process::start(&self.shape, start, held.place())?;
        let identity = child.identity();
        let lane = Lane::first(held.place())?;
        let monitor = Address::Unix(held.place().file(&lane.socket(Place::CONTROL)));
        let options = Options { connect_timeout: END_WITHIN, ..Options::default() };
        match Client::connect_with(&monitor, options).await {
            Ok(monitor) => Ok(Running { child, monitor, lane }),
            Err(_) if identity.ended(LAST_BREATH).await => {
                Err(Error::Died { words: held.place().last_words() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A QEMU that runs, and ends if nobody takes it over.
struct Running {
    child: Leashed,
    monitor: Client,
    lane: Lane,
}

impl Running {
    async fn command(&self, name: &str) -> Result<()> {
        self.monitor.execute(name, None::<&()>).await?;
        Ok(())
    }

    /// What a failure means where QEMU has ended, such as for a wish that it cannot fulfil.
    async fn explained(&self, error: Error, place: &Place) -> Error {
        match self.child.identity().ended(LAST_BREATH).await {
            true => Error::Died { words: place.last_words() },
            false => error,
        }
    }

    /// Waits for the agent, as long as QEMU lives.
    async fn meet(&self, within: Duration, place: &Place) -> Result<Agent> {
        let words = || place.last_words();
        let socket = place.file(&self.lane.socket(Place::AGENT));
        tokio::select! {
            met = tokio::time::timeout(within, Agent::meet(&socket)) => match met {
                Ok(Err(error)) => Err(self.explained(error, place).await),
                Ok(met) => met,
                Err(_) => Err(Error::Late { what: "the agent", within, words: words() }),
            },
            () = died(self.child.identity()) => Err(Error::Died { words: words() }),
        }
    }

    fn into_appliance(
        mut self,
        held: &Held,
        shape: &Shape,
        start: Start,
        agent: Agent,
    ) -> Result<Appliance> {
        let record = Record {
            identity: self.child.identity(),
            command: shape.command_line(start),
            restored: start == Start::Saved,
        };
        held.write(&record)?;
        self.child.let_go();
        Ok(Appliance::of(held.place().clone(), record, self.lane, self.monitor, agent))
    }
}

/// Returns when a process has ended.
async fn died(identity: Identity) {
    const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
    while !identity.ended(A_DAY).await {}
}
