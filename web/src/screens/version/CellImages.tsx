import { usePages } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer } from "../../ui/Answer";
import { percent } from "../../ui/format";
import { More } from "../../ui/More";
import { Picture, Pictures } from "../../ui/Picture";

const IMAGES = graphql(`
	query CellImages($version: ID!, $actual: Int!, $predicted: Int!, $after: String) {
		version(id: $version) {
			id
			evaluation {
				images(actual: $actual, predicted: $predicted, first: 48, after: $after) {
					pageInfo {
						hasNextPage
						endCursor
					}
					nodes {
						index
						confidence
						picture {
							url
							width
							height
						}
					}
				}
			}
		}
	}
`);

interface CellImagesProps {
	version: string;
	actual: number;
	predicted: number;
}

/** All images of a cell of the confusion matrix. */
export function CellImages(cell: CellImagesProps) {
	const found = usePages(IMAGES, { ...cell }, (data) => data.version?.evaluation?.images);
	return (
		<Answer query={found} rows={3}>
			{({ pages }) => {
				if (pages[0]?.version?.evaluation?.images === null) {
					return (
						<p className="quiet">
							An earlier release kept only the surest image of each cell. Evaluate the version once more to see all.
						</p>
					);
				}
				const images = pages.flatMap((page) => page.version?.evaluation?.images?.nodes ?? []);
				return (
					<>
						<Pictures>
							{images.map(({ index, confidence, picture }) => (
								<li key={index}>
									<Picture {...picture} alt={`Test image ${index}`} />
									<span className="quiet">
										image {index}, {percent(confidence)}
									</span>
								</li>
							))}
						</Pictures>
						<More pages={found} />
					</>
				);
			}}
		</Answer>
	);
}
