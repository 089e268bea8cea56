import { getRouteApi, Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { LayerQuery } from "../../gql/graphql";
import { NotFound } from "../../shell/NoSuchPage";
import { Answer } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { compact, shape } from "../../ui/format";
import { Tabs } from "../../ui/Tabs";
import { Title } from "../../ui/Title";
import { Channels } from "./Channels";
import { Maps } from "./Maps";
import { Similar } from "./Similar";

const LAYER = graphql(`
	query Layer($model: String!, $number: Int!, $layer: String!) {
		model(name: $model) {
			id
			name
			version(number: $number) {
				id
				number
				dataset {
					id
					classNames
				}
				layer(name: $layer) {
					id
					index
					name
					kind
					parameters
					inputShape
					outputShape
					parameterCount
					multiplyAccumulates
					degenerate {
						message
						probeSet {
							id
							isDefault
						}
					}
				}
			}
		}
	}
`);

export type Layer = NonNullable<NonNullable<NonNullable<LayerQuery["model"]>["version"]>["layer"]>;

const TAB_NAMES = { similar: "Similar layers", channels: "Channels", maps: "Maps and attribution" };

const route = getRouteApi("/models/$model/versions/$number/layers/$layer");

/** A layer, and the layers of other models that compute the same. */
export default function LayerScreen() {
	const { model: modelName, number, layer: layerName } = route.useParams();
	const { tab = "similar" } = route.useSearch();
	const found = useDocument(LAYER, { model: modelName, number: Number(number) || 0, layer: layerName });
	return (
		<Answer query={found} title={`Layer ${layerName}`} rows={8}>
			{({ model }) => {
				const version = model?.version;
				const layer = version?.layer;
				if (!model || !version || !layer) {
					return <NotFound>{`There is no layer ${layerName} in version ${number} of ${modelName}`}</NotFound>;
				}
				return (
					<>
						<Title
							path={
								<>
									<Link to="/">Library</Link> /{" "}
									<Link to="/models/$model" params={{ model: model.name }}>
										<bdi>{model.name}</bdi>
									</Link>{" "}
									/{" "}
									<Link to="/models/$model/versions/$number" params={{ model: model.name, number }}>
										version {number}
									</Link>
								</>
							}
						>
							{`Layer ${layer.name} (${layer.kind})`}
						</Title>
						<Facts>
							{{
								Position: layer.index + 1,
								Input: shape(layer.inputShape),
								Output: shape(layer.outputShape),
								Parameters: compact(layer.parameterCount),
								"Operations for an image": compact(layer.multiplyAccumulates),
								Settings: settings(layer.parameters),
							}}
						</Facts>
						{layer.degenerate.map(({ message, probeSet }) => (
							<p key={probeSet.id} className="notice bad">
								This layer cannot be compared: {message}.
							</p>
						))}
						<Tabs names={TAB_NAMES} tab={tab} label="Parts of the layer" />
						{tab === "similar" && <Similar layer={layer} />}
						{tab === "channels" && <Channels layer={layer} version={version.id} />}
						{tab === "maps" && <Maps layer={layer} version={version} />}
					</>
				);
			}}
		</Answer>
	);
}

function settings(parameters: unknown): string {
	const entries = Object.entries((parameters ?? {}) as Record<string, unknown>);
	return entries.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ") || "none";
}
