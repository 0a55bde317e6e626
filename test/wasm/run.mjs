// Runs a program built for wasm32-wasi with its arguments: node run.mjs FILE.wasm ARGUMENT...
//
// The pure rooms ask a system for nothing, so what the C library around them needs is little: the arguments, writing to a file
// that is open, an end. Everything else answers ENOSYS. (node:wasi of Node 20 ends long runs with a segmentation fault.)
import { readFile } from 'node:fs/promises';
import { writeSync } from 'node:fs';

const ENOSYS = 52;
const file = process.argv[2];
const words = process.argv.slice(2).map((word) => new TextEncoder().encode(word + '\0'));
let memory;
const view = () => new DataView(memory.buffer); // the memory may have grown since the last call

const calls = {
  args_sizes_get(count, size) {
    view().setUint32(count, words.length, true);
    view().setUint32(size, words.reduce((sum, word) => sum + word.length, 0), true);
    return 0;
  },
  args_get(pointers, bytes) {
    for (const word of words) {
      view().setUint32(pointers, bytes, true);
      new Uint8Array(memory.buffer, bytes, word.length).set(word);
      pointers += 4;
      bytes += word.length;
    }
    return 0;
  },
  fd_write(descriptor, parts, count, written) {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const size = view().getUint32(parts + 8 * i + 4, true);
      writeSync(descriptor, new Uint8Array(memory.buffer, view().getUint32(parts + 8 * i, true), size));
      sum += size;
    }
    view().setUint32(written, sum, true);
    return 0;
  },
  proc_exit(status) {
    process.exit(status);
  },
};
const wasi_snapshot_preview1 = new Proxy(calls, { get: (known, name) => known[name] ?? (() => ENOSYS) });

const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1 });
memory = instance.exports.memory;
instance.exports._start();
