// Runs an ONNX model in ONNX Runtime, for the test that compares it with LibTorch.
//
//   node run_onnx.cjs MODULES MODEL OUTPUT NAME:SHAPE:FILE...
//
// MODULES is the folder whose node_modules has onnxruntime-node. Each input has its name in the model, a shape such as
// 2x1x48x32, and a file of raw float32. The value "output" goes into OUTPUT as raw float32; its shape is printed.
"use strict";

const fs = require("fs");
const path = require("path");

async function main(modules, model, output, ...inputs) {
  const ort = require(path.join(path.resolve(modules), "node_modules", "onnxruntime-node"));
  const feeds = {};
  for (const input of inputs) {
    const [, name, shape, file] = input.match(/^([^:]*):([0-9x]+):(.*)$/);
    const bytes = fs.readFileSync(file);
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    feeds[name] = new ort.Tensor("float32", numbers, shape.split("x").map(Number));
  }
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 }); // errors
  const result = (await session.run(feeds)).output;
  fs.writeFileSync(output, Buffer.from(result.data.buffer, result.data.byteOffset, result.data.byteLength));
  console.log(result.dims.join("x"));
}

main(...process.argv.slice(2)).catch((fault) => {
  console.error(fault.message);
  process.exitCode = 1;
});
