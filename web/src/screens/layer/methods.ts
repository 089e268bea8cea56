import type { AttributionMethod } from "../../gql/graphql";

/** How the pixels that matter are found. */
export const METHOD_NAMES: Record<AttributionMethod, string> = {
	GRAD_CAM: "Grad-CAM of this layer",
	INTEGRATED_GRADIENTS: "integrated gradients",
	SMOOTH_GRAD: "SmoothGrad",
	INPUT_GRADIENT: "the gradient of each pixel",
};

const METHODS = Object.keys(METHOD_NAMES) as AttributionMethod[];

interface Shaped {
	outputShape: readonly number[];
}

/** The methods that can be used at a layer: Grad-CAM only where its output has rows and columns. */
export function methodsOf({ outputShape }: Shaped): AttributionMethod[] {
	return outputShape.length === 3 ? METHODS : METHODS.filter((method) => method !== "GRAD_CAM");
}

/** The method that tells most of the layer itself. */
export function defaultMethod(layer: Shaped): AttributionMethod {
	return methodsOf(layer)[0] ?? "INTEGRATED_GRADIENTS";
}
