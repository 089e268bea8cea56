import { expect, test } from "vitest";
import { spare } from "./spare";

test("a layer that is meant to change little is not called spare", () => {
	const pair = (kind: string, parameterCount: number) => ({ otherLayer: { kind, parameterCount } });
	const convolution = pair("Conv2d", 80);
	const pairs = [pair("BatchNorm2d", 16), pair("ReLU", 0), convolution, pair("Residual", 0), pair("LayerNorm", 8)];
	expect(spare(pairs)).toEqual([convolution]);
});
