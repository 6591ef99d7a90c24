// Runs an ONNX model in ONNX Runtime each time a line comes, for bench_engine.
//
//   node onnx_runtime.cjs MODULES MODEL THREADS SHAPE
//
// MODULES is the folder whose node_modules has onnxruntime-node, SHAPE that of the input, such as 18x1x128x128. Prints
// "ready", then the seconds of each run.
"use strict";

const path = require("path");
const readline = require("readline");

async function main(modules, model, threads, shape) {
  const ort = require(path.join(path.resolve(modules), "node_modules", "onnxruntime-node"));
  const extents = shape.split("x").map(Number);
  const numbers = new Float32Array(extents.reduce((a, b) => a * b, 1));
  for (let i = 0; i < numbers.length; ++i) numbers[i] = Math.sin(i);
  const session = await ort.InferenceSession.create(model, {
    logSeverityLevel: 3, // errors
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
  });
  const feeds = { input: new ort.Tensor("float32", numbers, extents) };
  console.log("ready");
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    const begin = process.hrtime.bigint();
    await session.run(feeds);
    console.log(Number(process.hrtime.bigint() - begin) * 1e-9);
  }
}

main(...process.argv.slice(2)).catch((fault) => {
  console.error(fault.message);
  process.exitCode = 1;
});
