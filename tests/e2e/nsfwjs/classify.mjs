// What nsfwjs says of raw pictures, on TensorFlow.js. Reads from the standard input, one line for each picture:
//   {"model": "MobileNetV2", "file": "/tmp/1.rgb", "height_px": 224, "width_px": 224}
// Writes one line for each to the standard output: an object of class names and probabilities.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

// nsfwjs writes notes to the standard output, which is the answers' own.
console.info = console.warn = () => {};

const tf = await import("@tensorflow/tfjs");
await import("@tensorflow/tfjs-backend-wasm");
const { load } = await import("nsfwjs/core");
const { MobileNetV2Model } = await import("nsfwjs/models/mobilenet_v2");
const { InceptionV3Model } = await import("nsfwjs/models/inception_v3");

await tf.setBackend("wasm");
const definitions = { MobileNetV2: MobileNetV2Model, InceptionV3: InceptionV3Model };
const loaded = {};

for await (const line of createInterface({ input: process.stdin })) {
  const { model, file, height_px, width_px } = JSON.parse(line);
  loaded[model] ??= await load(model, { modelDefinitions: [definitions[model]] });
  const pixels = tf.tensor3d(new Uint8Array(await readFile(file)), [height_px, width_px, 3], "int32");
  const classes = await loaded[model].classify(pixels);
  pixels.dispose();
  const scores = Object.fromEntries(classes.map((each) => [each.className, each.probability]));
  process.stdout.write(JSON.stringify(scores) + "\n");
}
