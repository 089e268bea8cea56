import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { AttributionMethod } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import { percent } from "../../ui/format";
import { Picture } from "../../ui/Picture";

const ATTRIBUTION = graphql(`
	query Attribution($version: ID!, $image: Int!, $class: Int, $method: AttributionMethod!, $layer: Int) {
		version(id: $version) {
			id
			attribution(image: $image, class: $class, settings: { method: $method, layer: $layer }) {
				probability
				class {
					name
				}
				image {
					class {
						name
					}
					picture {
						url
						width
						height
					}
				}
				overlay {
					url
					width
					height
				}
			}
		}
	}
`);

interface AttributionProps {
	version: string;
	image: number;
	/** The class that is explained; null for the predicted one. */
	explained: number | null;
	settings: { method: AttributionMethod; layer: number | null };
}

/** A test image, and over it the pixels that matter for a class. */
export function Attribution({ version, image, explained, settings }: AttributionProps) {
	const attribution = useDocument(ATTRIBUTION, { version, image, class: explained, ...settings });
	return (
		<Answer query={attribution} rows={4}>
			{({ version: found }) => {
				if (!found) return null;
				const { class: target, probability, image: source, overlay } = found.attribution;
				return (
					<div className="figures">
						<figure>
							<Picture {...source.picture} alt={`Test image ${image}`} />
							<figcaption>
								the image, <bdi>{source.class?.name}</bdi>
							</figcaption>
						</figure>
						<figure>
							<Picture {...overlay} alt={`The pixels that matter for ${target.name}`} />
							<figcaption>
								{settings.method === "GRAD_CAM" ? (
									<>
										what speaks for <bdi>{target.name}</bdi> in this layer, yellow most
									</>
								) : (
									<>
										for <bdi>{target.name}</bdi> red, against it blue
									</>
								)}{" "}
								<span className="quiet">({percent(probability)} probable)</span>
							</figcaption>
						</figure>
					</div>
				);
			}}
		</Answer>
	);
}
