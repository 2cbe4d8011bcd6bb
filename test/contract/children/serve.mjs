/**
 * One engine in a process of its own, told over the IPC channel what to do; it may be killed at any moment.
 *
 *     { id, call: 'open' | 'run' | 'read' | 'close', given }   ->   { id, result } | { id, failure }
 *                                                              ->   { acknowledged }    while 'run' is under way
 *
 * The engine has `open`, `close`, `read`, and one function per type of step. Writes are issued in order, up to
 * `inFlightMax` at once; what is no write is begun and not waited for until the end, so that a kill finds it anywhere.
 */
export function serve(engine) {
  const run = async ({ steps, inFlightMax }) => {
    const inFlight = [];
    const besides = [];
    for (const [index, step] of steps.entries()) {
      if (step.type !== 'write') {
        besides.push(engine[step.type](step));
        continue;
      }
      if (inFlight.length >= inFlightMax) await inFlight.shift();
      inFlight.push(engine.write(step).then(() => void process.send({ acknowledged: index })));
    }
    await Promise.all([...inFlight, ...besides]);
  };

  const calls = { open: engine.open, close: engine.close, read: engine.read, run };
  process.on('message', ({ id, call, given }) => {
    calls[call](given).then(
      (result) => process.send({ id, result }),
      (error) => process.send({ id, failure: `${error.stack} ${error.cause?.message ?? ''}` }),
    );
  });
  process.on('disconnect', () => process.exit());
}
