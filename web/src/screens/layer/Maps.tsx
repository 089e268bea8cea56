import { getRouteApi } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { LayerSearch } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import { Filters, SelectFilter, TextFilter } from "../../ui/Filters";
import { Picture } from "../../ui/Picture";
import { Attribution } from "./Attribution";
import type { Layer } from "./Layer";
import { defaultMethod, METHOD_NAMES, methodsOf } from "./methods";
import "./Maps.css";

const MAPS = graphql(`
	query FeatureMaps($layer: ID!, $image: Int!) {
		layer(id: $layer) {
			id
			featureMaps(image: $image, first: 24) {
				channel
				mean
				picture {
					url
					width
					height
				}
			}
		}
	}
`);

const route = getRouteApi("/models/$model/versions/$number/layers/$layer");

interface MapsProps {
	layer: Layer;
	version: { id: string; dataset: { classNames: string[] } };
}

/** The activations of a layer's channels for one test image, beside the pixels of the image that matter for a class. */
export function Maps({ layer, version }: MapsProps) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const { image = 0, class: explained } = search;
	const method = search.method ?? defaultMethod(layer);
	const maps = useDocument(MAPS, { layer: layer.id, image });
	const { classNames } = version.dataset;
	const set = (change: Partial<Record<keyof LayerSearch, unknown>>) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as LayerSearch, replace: true, resetScroll: false });
	return (
		<section aria-labelledby="maps">
			<h2 id="maps">What it makes of an image</h2>
			<Filters>
				<TextFilter
					label="Test image"
					type="number"
					value={String(image)}
					onChange={(text) => {
						const image = Number(text);
						if (text !== "" && Number.isSafeInteger(image) && image >= 0) set({ image });
					}}
				/>
				<SelectFilter
					label="Attribution by"
					value={method}
					options={methodsOf(layer).map((method) => [method, METHOD_NAMES[method]] as const)}
					onChange={(name) => set({ method: name === defaultMethod(layer) ? undefined : name })}
				/>
				<SelectFilter
					label="for class"
					value={explained === undefined ? "" : String(explained)}
					options={[["", "the predicted one"], ...classNames.map((name, index) => [String(index), name] as const)]}
					onChange={(index) => set({ class: index === "" ? undefined : Number(index) })}
				/>
			</Filters>
			<div className="image-and-maps">
				<div className="of-image">
					<Attribution
						version={version.id}
						image={image}
						explained={explained ?? null}
						settings={{ method, layer: method === "GRAD_CAM" ? layer.index : null }}
					/>
				</div>
				<Answer query={maps} rows={6}>
					{({ layer: found }) => {
						const all = found?.featureMaps ?? [];
						if (all.length === 0) return <Empty>This layer has no feature maps.</Empty>;
						return (
							<ul className="maps">
								{all.map(({ channel, picture }) => (
									<li key={channel}>
										<Picture {...picture} alt={`Activations of channel ${channel}`} />
										channel {channel}
									</li>
								))}
							</ul>
						);
					}}
				</Answer>
			</div>
		</section>
	);
}
